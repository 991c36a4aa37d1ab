// A source of batches for tests: seeded random sequences of a tiny vocabulary, the same for the same step.
#pragma once

#include "core/random.h"
#include "finetune/trainer.h"
#include "nn/batch.h"

namespace slm::testing {

class ToySource final : public finetune::BatchSource {
 public:
  explicit ToySource(int n_micro = 1, int64_t vocab = 53) : n_micro_(n_micro), vocab_(vocab) {}
  Result<std::vector<nn::ForestBatch>> next() override { return batches(step_++); }
  json::object position() const override { return {{"step", step_}}; }
  Status seek(const json::object& position) override {
    step_ = get_int(position, "step").value_or(0);
    return {};
  }
  // Counting upwards: something to learn.
  std::vector<nn::ForestBatch> batches(int64_t step) const {
    Prng prng(static_cast<uint64_t>(step) + 77);
    std::vector<nn::Sequence> sequences(6);
    for (auto& s : sequences) {
      const auto first = static_cast<int64_t>(prng.below(static_cast<uint64_t>(vocab_)));
      const auto n = static_cast<int64_t>(6 + prng.below(10));
      for (int64_t t = 0; t < n; ++t) s.ids.push_back(static_cast<int32_t>((first + t) % vocab_));
      s.n_prompt = 2;
    }
    if (n_micro_ == 1) return nn::make_forests(sequences, {1 << 20});
    std::vector<nn::ForestBatch> out;
    for (int i = 0; i < n_micro_; ++i) {
      const auto share = sequences.size() / static_cast<size_t>(n_micro_);
      for (auto& b : nn::make_forests(std::span(sequences).subspan(static_cast<size_t>(i) * share, share), {1 << 20}))
        out.push_back(std::move(b));
    }
    return out;
  }

 private:
  int n_micro_;
  int64_t vocab_;
  int64_t step_ = 0;
};

inline nn::ModelConfig toy_config() {
  nn::ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.vocab_size = 53;
  config.width = 32;
  config.n_layers = 2;
  config.n_heads = 4;
  config.n_kv_heads = 2;
  config.head_dim = 8;
  config.ffn_width = 48;
  config.max_positions = 64;
  config.tied_embeddings = true;
  return config;
}

}  // namespace slm::testing
