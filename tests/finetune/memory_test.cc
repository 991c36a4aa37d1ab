// When layers are computed again: where the plan says that they must, and nowhere else.
#include "finetune/memory.h"

#include <gtest/gtest.h>

#include "finetune/toy_source.h"

namespace slm::finetune {
namespace {

nn::ForestBatch batch_of(int64_t n_sequences, int64_t length) {
  std::vector<nn::Sequence> sequences(static_cast<size_t>(n_sequences));
  for (auto& s : sequences) s.ids.resize(static_cast<size_t>(length), 7);
  return nn::make_forests(sequences, {.max_tokens = 1 << 20, .share_prefixes = false})[0];
}

TEST(MemoryPlanner, ComputesAgainFromTheFirstByteThatDoesNotFit) {
  const auto config = testing::toy_config();
  for (const nn::TrainShape& method :
       {nn::TrainShape{.rank = 8}, nn::TrainShape{.rank = 0}, nn::TrainShape{.rank = 4, .dropout = true, .dora = true},
        nn::TrainShape{.rank = 4, .nf4 = true}}) {
    MemoryPlanner planner(config, nn::DType::kBFloat16, method);
    const auto batch = batch_of(40, 60);
    EXPECT_FALSE(planner.plan(batch).recompute) << "no budget";
    const auto held = planner.plan(batch);
    nn::TrainShape shape = method;
    shape.batch_tokens = 2400;
    shape.longest = 60;
    EXPECT_EQ(held.total_bytes, nn::plan_train(config, nn::DType::kBFloat16, shape).total_bytes);

    planner.set_budget(held.total_bytes, 0);
    EXPECT_FALSE(planner.plan(batch).recompute);
    planner.set_budget(held.total_bytes - 1, 0);
    const auto again = planner.plan(batch);
    EXPECT_TRUE(again.recompute);
    EXPECT_LT(again.activation_bytes, held.activation_bytes);
    EXPECT_LT(again.total_bytes, held.total_bytes);
    EXPECT_EQ(planner.plan_held(batch).total_bytes, held.total_bytes);
    EXPECT_FALSE(planner.plan(batch_of(39, 60)).recompute) << "a smaller one fits";

    planner.set_budget(held.total_bytes + 999, 1000);
    EXPECT_TRUE(planner.plan(batch).recompute) << "with what lies beside";
    EXPECT_EQ(planner.plan(batch).total_bytes, again.total_bytes + 1000);
    planner.set_budget(held.total_bytes + 1000, 1000);
    EXPECT_FALSE(planner.plan(batch).recompute);
  }
}

TEST(MemoryPlanner, AMachineIsSharedByItsProcesses) {
  EXPECT_EQ(memory_share(1000, 1), 900);
  EXPECT_EQ(memory_share(1000, 3), 300);
}

}  // namespace
}  // namespace slm::finetune
