#include "finetune/source.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

namespace slm::finetune {
namespace {

std::vector<uint32_t> each_its_own(uint32_t n) {
  std::vector<uint32_t> out(n);
  std::iota(out.begin(), out.end(), 0u);
  return out;
}

// Example i is {1, 100 + i} after one token of prompt, so a target tells which it is.
ShuffledSource make(int n, int64_t batch, uint64_t seed = 1) {
  std::vector<nn::Sequence> sequences;
  for (int i = 0; i < n; ++i) sequences.push_back({{1, 100 + i}, 1, 0});
  return ShuffledSource(std::move(sequences), each_its_own(static_cast<uint32_t>(n)),
                        {.batch = batch, .max_batch_tokens = 64, .seed = seed});
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
    const int64_t n_steps = count_steps(each_its_own(static_cast<uint32_t>(n)), batch, 1, 1);
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

TEST(EpochSteps, SessionsStayWholeWhereTheyFit) {
  // 7 sessions of 3, one of 40, the calls of all interleaved.
  std::vector<uint32_t> sessions;
  for (int turn = 0; turn < 40; ++turn)
    for (uint32_t session = 0; session < (turn < 3 ? 8u : 1u); ++session) sessions.push_back(session);
  std::set<std::vector<std::vector<uint32_t>>> orders;
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const auto steps = epoch_steps(sessions, 8, 5, epoch);
    std::set<uint32_t> seen;
    std::map<uint32_t, int> n_steps_of;
    for (const auto& step : steps) {
      EXPECT_LE(step.size(), 8u);
      std::set<uint32_t> here;
      for (const uint32_t i : step) {
        EXPECT_TRUE(seen.insert(i).second);
        here.insert(sessions[i]);
      }
      for (const uint32_t session : here) ++n_steps_of[session];
    }
    EXPECT_EQ(seen.size(), sessions.size());
    for (const auto& [session, n] : n_steps_of) EXPECT_EQ(n, session == 0 ? 5 : 1) << session;
    orders.insert(steps);
  }
  EXPECT_GT(orders.size(), 15u);
}

TEST(EpochSteps, AreCountedOverEpochs) {
  const auto sessions = each_its_own(33);
  EXPECT_EQ(count_steps(sessions, 16, 1, 1), 3);
  EXPECT_EQ(count_steps(sessions, 16, 1, 2), 6);
  EXPECT_EQ(count_steps(sessions, 16, 1, 2.5), 8);
  EXPECT_EQ(count_steps(sessions, 16, 1, 0.01), 1);
  const std::vector<uint32_t> pairs{0, 0, 1, 1, 2, 2, 3, 3, 4, 4};
  int64_t n = 0;
  for (int64_t epoch = 0; epoch < 3; ++epoch) n += std::ssize(epoch_steps(pairs, 5, 9, epoch));
  EXPECT_EQ(n, 9) << "two whole sessions a step, then one";
  EXPECT_EQ(count_steps(pairs, 5, 9, 3), n);
}

TEST(ShuffledSource, SharesWhatASessionBeginsWithUnlessToldNotTo) {
  std::vector<nn::Sequence> sequences;
  std::vector<int32_t> history;
  for (int32_t turn = 0; turn < 4; ++turn) {
    for (int32_t t = 0; t < 20; ++t) history.push_back(100 * turn + t);
    sequences.push_back({history, history.size() - 5, 0, 0});
  }
  for (const bool share : {true, false}) {
    ShuffledSource source(sequences, {0, 0, 0, 0}, {.batch = 4, .share_prefixes = share});
    const auto batches = source.next().value();
    ASSERT_EQ(batches.size(), 1u);
    EXPECT_EQ(batches[0].size(), share ? 80 : 200);
    EXPECT_EQ(batches[0].n_tokens, 200);
  }
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
