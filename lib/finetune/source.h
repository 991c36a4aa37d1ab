// Training batches from examples in memory: every epoch a new seeded order, `batch` examples a step.
#pragma once

#include <vector>

#include "finetune/pack.h"
#include "finetune/trainer.h"

namespace slm::finetune {

class ShuffledSource final : public BatchSource {
 public:
  struct Options {
    int64_t batch = 16;
    int64_t max_batch_tokens = 8192;
    uint64_t seed = 0;
  };
  // Requires: at least one sequence.
  ShuffledSource(std::vector<Sequence> sequences, const Options& options);
  Result<std::vector<nn::RowBatch>> next() override;
  json::object position() const override;
  Status seek(const json::object& position) override;

 private:
  void order_epoch();
  std::vector<Sequence> sequences_;
  Options options_;
  std::vector<uint32_t> order_;
  int64_t epoch_ = 0;
  size_t at_ = 0;
};

}  // namespace slm::finetune
