// A model directory of the tiny tokenizer and a small chat template, and an engine that says what it is told to.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "core/random.h"
#include "nn/engine.h"
#include "nn/safetensors.h"
#include "text/test_paths.h"

namespace slm::model {

inline constexpr const char* kChatTemplate =
    "{%- for m in messages -%}"
    "{{- '<|im_start|>' + m.role + '\\n' -}}{{- m.content -}}"
    "{%- for call in m.tool_calls or [] -%}"
    "{{- '<tool_call>{\"name\": ' -}}{{- call.function.name | tojson -}}{{- ', \"arguments\": ' -}}"
    "{{- call.function.arguments | tojson -}}{{- '}</tool_call>' -}}"
    "{%- endfor -%}{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

inline void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// Tokenizer and template only, no weights.
inline std::filesystem::path make_model_dir(const std::string& name, std::string_view chat_template = kChatTemplate) {
  const auto dir = scratch_dir(name);
  for (const char* file : {"tokenizer.model", "tokenizer_config.json"})
    std::filesystem::copy_file(test_data() / "tiny-tokenizer" / file, dir / file);
  write_file(dir / "chat_template.jinja", chat_template);
  write_file(dir / "config.json",
             R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":448,"hidden_size":32,)"
             R"("intermediate_size":64,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,)"
             R"("max_position_embeddings":256,"rms_norm_eps":1e-5,"hidden_act":"silu","eos_token_id":2})");
  return dir;
}

// Random weights for the config above: a model that runs, and says nothing.
inline void write_random_weights(const std::filesystem::path& dir, uint64_t seed) {
  struct Tensor {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> data;
  };
  const std::string layer = "model.layers.0.";
  std::vector<Tensor> tensors = {{"model.embed_tokens.weight", {448, 32}, {}},
                                 {layer + "input_layernorm.weight", {32}, {}},
                                 {layer + "self_attn.q_proj.weight", {32, 32}, {}},
                                 {layer + "self_attn.k_proj.weight", {16, 32}, {}},
                                 {layer + "self_attn.v_proj.weight", {16, 32}, {}},
                                 {layer + "self_attn.o_proj.weight", {32, 32}, {}},
                                 {layer + "post_attention_layernorm.weight", {32}, {}},
                                 {layer + "mlp.gate_proj.weight", {64, 32}, {}},
                                 {layer + "mlp.up_proj.weight", {64, 32}, {}},
                                 {layer + "mlp.down_proj.weight", {32, 64}, {}},
                                 {"model.norm.weight", {32}, {}},
                                 {"lm_head.weight", {448, 32}, {}}};
  Prng random(seed);
  std::vector<nn::TensorToWrite> views;
  for (auto& t : tensors) {
    int64_t n = 1;
    for (const int64_t d : t.shape) n *= d;
    for (int64_t i = 0; i < n; ++i) t.data.push_back(static_cast<float>(random.normal()) * 0.4f);
    views.push_back({t.name, "F32", t.shape, {reinterpret_cast<const uint8_t*>(t.data.data()), t.data.size() * 4}});
  }
  write_file(dir / "model.safetensors", as_text(nn::write_safetensors(views)));
}

// Keeps the ids of each row; `next(ids)` gives the logits after them.
class FakeEngine final : public nn::Engine {
 public:
  using Next = std::function<std::vector<float>(const std::vector<int32_t>&)>;
  struct FakeCache final : nn::Cache {
    std::vector<std::vector<int32_t>> rows;
    size_t n_rows() const override { return rows.size(); }
    int64_t length(size_t row) const override { return static_cast<int64_t>(rows[row].size()); }
  };

  FakeEngine(int64_t vocabulary, int64_t context, Next next) : next_(std::move(next)) {
    config_.vocab_size = vocabulary;
    config_.max_positions = context;
  }
  const nn::ModelConfig& config() const override { return config_; }
  nn::DType dtype() const override { return nn::DType::kFloat32; }
  Status set_adapter(const nn::AdapterFiles&) override { return {}; }
  void clear_adapter() override {}
  Result<std::vector<float>> logits(std::span<const int32_t>) override {
    return fail(ErrorCode::kUnexpected, "not used");
  }
  Result<std::unique_ptr<nn::Cache>> prefill(std::span<const std::vector<int32_t>> prompts,
                                             std::vector<float>& logits) override {
    auto cache = std::make_unique<FakeCache>();
    cache->rows.assign(prompts.begin(), prompts.end());
    batches.push_back(prompts.size());
    fill(*cache, logits);
    return std::unique_ptr<nn::Cache>(std::move(cache));
  }
  Status step(nn::Cache& cache, std::span<const int32_t> ids, std::vector<float>& logits) override {
    auto& c = static_cast<FakeCache&>(cache);
    if (ids.size() != c.rows.size()) return fail(ErrorCode::kUsage, "rows and ids differ");
    for (size_t r = 0; r < ids.size(); ++r) c.rows[r].push_back(ids[r]);
    n_stepped_rows += ids.size();
    fill(c, logits);
    return {};
  }
  Status keep(nn::Cache& cache, std::span<const size_t> rows) override {
    auto& c = static_cast<FakeCache&>(cache);
    std::vector<std::vector<int32_t>> kept;
    for (const size_t r : rows) kept.push_back(c.rows.at(r));
    c.rows = std::move(kept);
    return {};
  }

  std::vector<size_t> batches;  // rows of each prefill
  size_t n_stepped_rows = 0;

 private:
  void fill(const FakeCache& cache, std::vector<float>& logits) const {
    logits.clear();
    for (const auto& row : cache.rows) {
      const auto values = next_(row);
      logits.insert(logits.end(), values.begin(), values.end());
    }
  }
  nn::ModelConfig config_;
  Next next_;
};

}  // namespace slm::model
