#include "finetune/memory.h"

#include <algorithm>

namespace slm::finetune {

int64_t memory_share(int64_t machine_bytes, int n_processes) {
  return machine_bytes / 10 * 9 / std::max(1, n_processes);
}

nn::TrainShape MemoryPlanner::shape_of(const nn::ForestBatch& batch) const {
  nn::TrainShape out = method_;
  out.batch_tokens = batch.size();
  out.longest = 1 + *std::max_element(batch.positions.begin(), batch.positions.end());
  return out;
}

nn::TrainPlan MemoryPlanner::plan(const nn::ForestBatch& batch) const {
  auto out = nn::plan_within(config_, dtype_, shape_of(batch), budget_bytes_ - other_bytes_);
  out.total_bytes += other_bytes_;
  return out;
}

nn::TrainPlan MemoryPlanner::plan_held(const nn::ForestBatch& batch) const {
  auto out = nn::plan_train(config_, dtype_, shape_of(batch));
  out.total_bytes += other_bytes_;
  return out;
}

}  // namespace slm::finetune
