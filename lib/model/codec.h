// The text side of one model directory: messages ↔ ids. Loads no weights, needs no torch type.
// Only in this room do text and nn meet.
//
// One training example is one call: the ids of the prompt rendered with add_generation_prompt, then the ids of the rest
// of the full rendering through end-of-turn. Loss falls on the rest only.
// Errors: kUnsupportedModel where the full rendering doesn't start with its prompt; kBadInput.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "model/call_text.h"
#include "model/token_mask.h"
#include "schema/json.h"

namespace slm::model {

struct Prompt {
  json::array messages;  // OpenAI chat, without the answer
  json::array tools;     // OpenAI tool definitions; may be empty
};

struct Example {
  std::vector<int32_t> ids;  // prompt then completion
  size_t n_prompt = 0;       // the first n_prompt ids carry no loss
};

class Codec {
 public:
  virtual ~Codec() = default;
  static Result<std::unique_ptr<Codec>> open(const std::filesystem::path& dir);

  virtual Result<std::string> render(const Prompt& prompt) const = 0;
  virtual Result<std::vector<int32_t>> encode_prompt(const Prompt& prompt) const = 0;
  // `answer` is the assistant message: content and/or tool_calls.
  virtual Result<Example> encode_example(const Prompt& prompt, const json::object& answer) const = 0;
  // Generated ids (without the end-of-turn) → an assistant message, its calls read as the template writes them
  // (call_text.h). A malformed call stays text, and is marked.
  virtual ParsedAnswer parse(std::span<const int32_t> ids, const json::array& tools) const = 0;
  json::object decode_answer(std::span<const int32_t> ids, const json::array& tools = {}) const {
    return parse(ids, tools).message;
  }
  // The answers that are calls of these tools, in the form that the template writes (call_grammar.h).
  virtual Result<std::shared_ptr<const ByteGrammar>> call_grammar(const json::array& tools) const = 0;
  virtual std::vector<int32_t> encode_text(std::string_view text) const = 0;
  virtual std::string decode_text(std::span<const int32_t> ids, bool keep_special) const = 0;
  virtual std::span<const int32_t> end_ids() const = 0;  // tokens that end a turn
  virtual int32_t n_ids() const = 0;
  // The bytes of every id, made at the first call.
  virtual std::shared_ptr<const Vocabulary> vocabulary() const = 0;
};

}  // namespace slm::model
