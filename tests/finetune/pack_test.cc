#include "finetune/pack.h"

#include <gtest/gtest.h>

#include <map>

#include "core/random.h"

namespace slm::finetune {
namespace {

std::vector<Sequence> random_sequences(size_t n, int64_t longest) {
  Prng prng(5);
  std::vector<Sequence> out(n);
  for (size_t i = 0; i < n; ++i) {
    const auto length = 2 + prng.below(static_cast<uint64_t>(longest) - 1);
    // The first token names the sequence, so that it can be found again.
    out[i].ids.push_back(static_cast<int32_t>(1000 + i));
    for (uint64_t t = 1; t < length; ++t) out[i].ids.push_back(static_cast<int32_t>(prng.below(100)));
    out[i].n_prompt = prng.below(length);
    out[i].prompt_weight = i % 3 == 0 ? 0.25f : 0.0f;
  }
  return out;
}

TEST(Pack, EverySequenceOnceWithItsOwnPositionsAndLoss) {
  const auto sequences = random_sequences(200, 40);
  const auto batches = pack_rows(sequences, {48, 480});
  std::map<int32_t, int> seen;
  int64_t n_tokens = 0, n_padded = 0;
  for (const auto& b : batches) {
    EXPECT_LE(b.rows * b.length, 480);
    EXPECT_EQ(b.length, 48);
    n_tokens += b.n_tokens;
    n_padded += b.rows * b.length;
    std::map<int32_t, std::pair<int32_t, float>> loss;
    for (size_t i = 0; i < b.loss_at.size(); ++i)
      EXPECT_TRUE(loss.emplace(b.loss_at[i], std::pair(b.targets[i], b.weights[i])).second);
    size_t n_loss = 0;
    for (size_t i = 0; i < b.ids.size(); ++i) {
      if (b.ids[i] < 1000) continue;
      const auto& s = sequences[static_cast<size_t>(b.ids[i] - 1000)];
      ++seen[b.ids[i]];
      ASSERT_LE(i % 48 + s.ids.size(), 48u);
      for (size_t t = 0; t < s.ids.size(); ++t) {
        ASSERT_EQ(b.ids[i + t], s.ids[t]);
        ASSERT_EQ(b.positions[i + t], static_cast<int32_t>(t));
        ASSERT_EQ(b.starts[i + t], static_cast<int32_t>(i % 48));
        const float weight = t == 0 ? 0.0f : t < s.n_prompt ? s.prompt_weight : 1.0f;
        const auto it = loss.find(static_cast<int32_t>(i + t) - 1);
        if (weight == 0) continue;
        ASSERT_NE(it, loss.end());
        EXPECT_EQ(it->second, std::pair(s.ids[t], weight));
        ++n_loss;
      }
    }
    EXPECT_EQ(n_loss, b.loss_at.size());
  }
  EXPECT_EQ(seen.size(), sequences.size());
  for (const auto& [id, n] : seen) EXPECT_EQ(n, 1);
  EXPECT_LT(static_cast<double>(n_padded - n_tokens), 0.05 * static_cast<double>(n_tokens));
}

TEST(Pack, RowLengthFollowsTheLongest) {
  const std::vector<Sequence> sequences{{std::vector<int32_t>(33, 1), 0, 0}, {std::vector<int32_t>(5, 1), 0, 0}};
  const auto batches = pack_rows(sequences, {0, 1});  // a row at least, however small the limit
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].length, 48);
  EXPECT_EQ(batches[0].rows, 1);
  EXPECT_TRUE(pack_rows({}, {}).empty());
}

TEST(Pack, JoinedRowsKeepTheirPlaces) {
  const auto sequences = random_sequences(12, 40);
  const auto rows = pack_rows(sequences, {40, 40}), whole = pack_rows(sequences, {40, 100000});
  const auto joined = join_rows(rows);
  ASSERT_EQ(whole.size(), 1u);
  EXPECT_EQ(joined.ids, whole[0].ids);
  EXPECT_EQ(joined.starts, whole[0].starts);
  EXPECT_EQ(joined.loss_at, whole[0].loss_at);
  EXPECT_EQ(joined.targets, whole[0].targets);
  EXPECT_EQ(joined.n_tokens, whole[0].n_tokens);
}

}  // namespace
}  // namespace slm::finetune
