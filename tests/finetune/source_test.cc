#include "finetune/source.h"

#include <gtest/gtest.h>

#include <set>

namespace slm::finetune {
namespace {

// Example i is {1, 100 + i} after one token of prompt, so a target tells which it is.
ShuffledSource make(int n, int64_t batch, uint64_t seed = 1) {
  std::vector<nn::Sequence> sequences;
  for (int i = 0; i < n; ++i) sequences.push_back({{1, 100 + i}, 1, 0});
  return ShuffledSource(std::move(sequences), {.batch = batch, .max_batch_tokens = 64, .seed = seed});
}
std::vector<int32_t> step(ShuffledSource& source) {
  std::vector<int32_t> out;
  const auto batches = source.next().value();
  for (const auto& batch : batches) out.insert(out.end(), batch.targets.begin(), batch.targets.end());
  return out;
}

TEST(ShuffledSource, EveryEpochHoldsEveryExampleOnce) {
  for (const auto& [n, batch] : {std::pair{17, 16}, {32, 16}, {5, 16}, {16, 16}, {7, 1}}) {
    auto source = make(n, batch);
    const int64_t n_steps = ShuffledSource::steps_per_epoch(n, batch);
    EXPECT_EQ(n_steps, n / batch + (n % batch != 0));
    for (int epoch = 0; epoch < 3; ++epoch) {
      std::multiset<int32_t> seen;
      for (int64_t i = 0; i < n_steps; ++i)
        for (const int32_t target : step(source)) seen.insert(target);
      EXPECT_EQ(seen.size(), static_cast<size_t>(n)) << n << " by " << batch << ", epoch " << epoch;
      EXPECT_EQ((std::set<int32_t>(seen.begin(), seen.end())).size(), static_cast<size_t>(n));
    }
  }
}

TEST(ShuffledSource, TheLastStepOfAnEpochSaysHowFullItIs) {
  auto source = make(17, 16);
  for (int epoch = 0; epoch < 3; ++epoch) {
    EXPECT_EQ(step(source).size(), 16u);
    EXPECT_EQ(source.fullness(), 1);
    EXPECT_EQ(step(source).size(), 1u);
    EXPECT_EQ(source.fullness(), 1.0 / 16);
  }
  auto few = make(5, 16);  // all there is: a full step
  step(few);
  EXPECT_EQ(few.fullness(), 1);
}

TEST(ShuffledSource, APositionLeadsToTheSameSteps) {
  for (int at = 0; at < 6; ++at) {
    auto source = make(17, 8, 3);
    for (int i = 0; i < at; ++i) step(source);
    const auto position = source.position();
    auto again = make(17, 8, 3);
    ASSERT_TRUE(again.seek(position));
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(step(again), step(source)) << at << " + " << i;
      EXPECT_EQ(again.fullness(), source.fullness());
    }
  }
  auto source = make(17, 8);
  EXPECT_FALSE(source.seek({{"epoch", 0}, {"at", 18}}));
  EXPECT_FALSE(source.seek({{"epoch", -1}, {"at", 0}}));
}

TEST(ShuffledSource, EpochsAndSeedsHaveTheirOwnOrder) {
  auto a = make(40, 10, 1), b = make(40, 10, 2);
  const auto first = step(a);
  EXPECT_NE(first, step(b));
  for (int i = 1; i < 4; ++i) step(a);
  EXPECT_NE(first, step(a)) << "the first step of the second epoch";
}

}  // namespace
}  // namespace slm::finetune
