// Training batches from examples in memory: every epoch a new seeded order, `batch` examples a step. Epochs share no
// step: the last one of an epoch holds what is left, and counts for as much of a full step.
#pragma once

#include <vector>

#include "finetune/trainer.h"
#include "nn/batch.h"

namespace slm::finetune {

class ShuffledSource final : public BatchSource {
 public:
  struct Options {
    int64_t batch = 16;
    int64_t max_batch_tokens = 8192;
    uint64_t seed = 0;
  };
  // Requires: at least one sequence.
  ShuffledSource(std::vector<nn::Sequence> sequences, const Options& options);
  static int64_t steps_per_epoch(int64_t n_sequences, int64_t batch) { return (n_sequences + batch - 1) / batch; }
  Result<std::vector<nn::ForestBatch>> next() override;
  double fullness() const override { return fullness_; }
  json::object position() const override;
  Status seek(const json::object& position) override;

 private:
  void order_epoch();
  std::vector<nn::Sequence> sequences_;
  Options options_;
  std::vector<uint32_t> order_;
  int64_t epoch_ = 0;
  size_t at_ = 0;
  double fullness_ = 1;
};

}  // namespace slm::finetune
