// Whether a micro-batch fits into memory with all activations held, or its layers are computed again on the way back
// (nn/checkpoint.h): by plan, before it is trained on.
//
// Units: bytes.
#pragma once

#include "nn/batch.h"
#include "nn/plan.h"

namespace slm::finetune {

// What a process may take of a machine that runs n of them, unless told otherwise: the system and what the plan
// misses by need some.
int64_t memory_share(int64_t machine_bytes, int n_processes);

class MemoryPlanner {
 public:
  // method: of the shape, what doesn't depend on the batch. Requires: config outlives this.
  MemoryPlanner(const nn::ModelConfig& config, nn::DType dtype, const nn::TrainShape& method)
      : config_(config), dtype_(dtype), method_(method) {}
  // other_bytes: held beside, as a teacher is. Without this there is no budget.
  void set_budget(int64_t budget_bytes, int64_t other_bytes) {
    budget_bytes_ = budget_bytes;
    other_bytes_ = other_bytes;
  }
  int64_t budget_bytes() const { return budget_bytes_; }

  // total_bytes with what is held beside.
  nn::TrainPlan plan(const nn::ForestBatch& batch) const;
  // The same with all activations held, whatever the budget.
  nn::TrainPlan plan_held(const nn::ForestBatch& batch) const;

 private:
  nn::TrainShape shape_of(const nn::ForestBatch& batch) const;

  const nn::ModelConfig& config_;
  nn::DType dtype_;
  nn::TrainShape method_;
  int64_t budget_bytes_ = std::numeric_limits<int64_t>::max(), other_bytes_ = 0;
};

}  // namespace slm::finetune
