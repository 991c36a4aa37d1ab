// A model whose answers a test decides: what it says to a prompt with and without an adapter.
#pragma once

#include <functional>
#include <string>

#include "call/call.h"
#include "model/model.h"

namespace slm::evaluate {

class FakeCodec : public model::Codec {
 public:
  Result<std::string> render(const model::Prompt&) const override { return std::string(); }
  Result<std::vector<int32_t>> encode_prompt(const model::Prompt&) const override { return std::vector<int32_t>(); }
  // A token a byte of the content.
  Result<model::Example> encode_example(const model::Prompt&, const json::object& answer) const override {
    const std::string text = content_text(answer);
    return model::Example{{text.begin(), text.end()}, 0};
  }
  model::ParsedAnswer parse(std::span<const int32_t>, const json::array&) const override { return {}; }
  Result<std::shared_ptr<const model::ByteGrammar>> call_grammar(const json::array&) const override {
    return fail(ErrorCode::kUnexpected, "not in this fake");
  }
  std::vector<int32_t> encode_text(std::string_view) const override { return {}; }
  std::string decode_text(std::span<const int32_t>, bool) const override { return {}; }
  std::span<const int32_t> end_ids() const override { return {}; }
  int32_t n_ids() const override { return 256; }
  std::shared_ptr<const model::Vocabulary> vocabulary() const override { return nullptr; }
};

class FakeEngine : public nn::Engine {
 public:
  const nn::ModelConfig& config() const override { return config_; }
  nn::DType dtype() const override { return nn::DType::kFloat32; }
  Status set_adapter(const nn::AdapterFiles& files) override {
    adapter = files.config_json;
    return {};
  }
  void clear_adapter() override { adapter.clear(); }
  Result<std::vector<float>> logits(std::span<const int32_t>) override { return std::vector<float>(); }
  Result<std::unique_ptr<nn::Cache>> prefill(std::span<const std::vector<int32_t>>, std::vector<float>&) override {
    return fail(ErrorCode::kUnexpected, "not in this fake");
  }
  Status step(nn::Cache&, std::span<const int32_t>, std::vector<float>&) override { return {}; }
  Status keep(nn::Cache&, std::span<const size_t>) override { return {}; }

  std::string adapter;  // config of the active one, "" for none

 private:
  nn::ModelConfig config_;
};

// Content of the newest user message, adapter's config ("" = base) → content of the answer; "too long" where the prompt
// wouldn't fit.
using Say = std::function<std::string(const std::string& user, const std::string& adapter)>;

class FakeModel : public model::Model {
 public:
  explicit FakeModel(Say say, int64_t* n_answers = nullptr) : say_(std::move(say)), n_answers_(n_answers) {}
  const model::Codec& codec() const override { return codec_; }
  nn::Engine& engine() override { return engine_; }
  Result<std::vector<model::Answer>> generate(std::span<const model::Prompt> prompts,
                                              const model::GenerateOptions& options,
                                              const std::function<void(size_t)>& done) override {
    max_new_tokens = options.max_new_tokens;
    std::vector<model::Answer> out;
    for (const model::Prompt& prompt : prompts) {
      model::Answer answer;
      const std::string text = say_(content_text(prompt.messages.back().as_object()), engine_.adapter);
      answer.too_long = text == "too long";
      if (!answer.too_long) answer.message = {{"role", "assistant"}, {"content", text}};
      answer.n_prompt = 10, answer.n_new = 2, answer.ended = true, answer.latency_ms = 5;
      out.push_back(std::move(answer));
      if (n_answers_) ++*n_answers_;
      if (done) done(out.size());
    }
    return out;
  }

  int max_new_tokens = 0;

 private:
  Say say_;
  int64_t* n_answers_;
  FakeCodec codec_;
  FakeEngine engine_;
};

inline json::object says(std::string_view content) { return {{"role", "assistant"}, {"content", content}}; }
inline json::array asks(std::string_view content) { return {json::object{{"role", "user"}, {"content", content}}}; }

}  // namespace slm::evaluate
