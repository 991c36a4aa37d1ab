// One model directory with its adapter, ready to answer calls: messages in, assistant message out. Finetune's
// validation, evaluate and serve all generate through this.
//
// Threads: one call at a time per model.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/codec.h"
#include "nn/engine.h"

namespace slm::model {

struct GenerateOptions {
  int max_new_tokens = 256;
  int batch = 32;           // rows decoded together; the answers don't depend on it beyond rounding
  double temperature = 0;   // 0: greedy
  double top_p = 1;         // (0, 1]: the likeliest tokens of this mass together
  int top_k = 0;            // 0: all; the k likeliest tokens
  uint64_t seed = 0;        // for temperature > 0
  int64_t max_context = 0;  // 0: the model's own; longer prompts are refused one by one (answer.too_long)
  // The answer is one JSON value of this schema (json_grammar.h says which keywords).
  std::optional<json::value> schema;
  // The answer is a call of the prompt's tools, or several, as the model's template writes them (call_grammar.h).
  bool tools_only = false;
};

struct Answer {
  json::object message;         // role assistant, content and/or tool_calls
  int n_prompt = 0, n_new = 0;  // tokens; the end of the turn counts as one
  bool ended = false;           // reached an end-of-turn token before max_new_tokens
  bool too_long = false;        // prompt didn't fit: no answer was made
  bool malformed = false;       // something in it begins like a tool call but can't be read, and is content
  bool refused = false;         // the chat template refuses these messages: no answer was made
  double latency_ms = 0;        // wall time of its batch divided by the batch's rows
};

class Model {
 public:
  static Result<std::unique_ptr<Model>> open(const std::filesystem::path& dir, const nn::EngineOptions& options = {});
  // The same from loaded parts. Errors: kUnsupportedModel where the tokenizer has more ids than the network.
  static Result<std::unique_ptr<Model>> from_parts(std::unique_ptr<Codec> codec, std::unique_ptr<nn::Engine> engine);
  virtual ~Model() = default;
  virtual const Codec& codec() const = 0;
  virtual nn::Engine& engine() = 0;
  // Answers in the order of the prompts. `done` (may be empty) is called with the number finished so far.
  // Errors: kInterrupted when the interrupt flag is set; the template's own error if it refuses every prompt.
  virtual Result<std::vector<Answer>> generate(std::span<const Prompt> prompts, const GenerateOptions& options,
                                               const std::function<void(size_t)>& done = {}) = 0;
};

}  // namespace slm::model
