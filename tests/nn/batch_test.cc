#include "nn/batch.h"

#include <gtest/gtest.h>

#include <map>

#include "core/random.h"

namespace slm::nn {
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
  const auto batches = pack_rows(sequences, {48, 480, false});
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
  const auto rows = pack_rows(sequences, {40, 40, false}), whole = pack_rows(sequences, {40, 100000, false});
  const auto joined = join_rows(rows);
  ASSERT_EQ(whole.size(), 1u);
  EXPECT_EQ(joined.ids, whole[0].ids);
  EXPECT_EQ(joined.starts, whole[0].starts);
  EXPECT_EQ(joined.loss_at, whole[0].loss_at);
  EXPECT_EQ(joined.targets, whole[0].targets);
  EXPECT_EQ(joined.n_tokens, whole[0].n_tokens);
}

// Sequences of one task: a long common beginning, then a question and an answer; a few of another kind.
std::vector<Sequence> alike(size_t n, int32_t n_common, Prng& prng) {
  std::vector<Sequence> out(n);
  for (size_t i = 0; i < n; ++i) {
    if (i % 7 != 6)
      for (int32_t t = 0; t < n_common; ++t) out[i].ids.push_back(500 + t);
    const auto rest = 5 + prng.below(20);
    for (uint64_t t = 0; t < rest; ++t) out[i].ids.push_back(static_cast<int32_t>(prng.below(100)));
    out[i].n_prompt = out[i].ids.size() - 3;
    out[i].prompt_weight = i % 2 == 0 ? 0.5f : 0.0f;
  }
  return out;
}

// What each sequence's tokens see, read back from the batch, is the sequence itself.
TEST(Pack, SharedBeginningsAreComputedOnceAndSeenByAll) {
  Prng prng(8);
  auto sequences = alike(40, 60, prng);
  sequences.push_back(sequences[3]);  // an exact duplicate
  std::vector<Placement> places;
  const auto batches = pack_rows(sequences, {.row_length = 0, .max_tokens = 1024}, &places);
  int64_t n_computed = 0, n_tokens = 0;
  double weight = 0, want_weight = 0;
  for (const auto& b : batches) {
    EXPECT_LE(b.rows * b.length, 1024);
    n_computed += b.rows * b.length;
    n_tokens += b.n_tokens;
    weight += b.loss_weight();
  }
  ASSERT_EQ(places.size(), sequences.size());
  int64_t want_tokens = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto& s = sequences[i];
    const auto& p = places[i];
    const auto& b = batches[p.batch];
    const auto n = static_cast<int64_t>(s.ids.size());
    want_tokens += n;
    for (int64_t t = 1; t < n; ++t) want_weight += static_cast<size_t>(t) < s.n_prompt ? s.prompt_weight : 1;
    const auto last = static_cast<size_t>(p.row * b.length + p.start + n - p.n_prefix - 1);
    std::vector<int32_t> seen, positions;
    const auto add = [&](int32_t from, int32_t to) {
      for (int32_t c = from; c < to; ++c) {
        seen.push_back(b.ids[static_cast<size_t>(p.row * b.length + c)]);
        positions.push_back(b.positions[static_cast<size_t>(p.row * b.length + c)]);
      }
    };
    if (!b.prefix_ends.empty()) add(b.prefix_starts[last], b.prefix_ends[last]);
    add(b.starts[last], static_cast<int32_t>(last % static_cast<size_t>(b.length)) + 1);
    EXPECT_EQ(seen, s.ids) << i;
    for (size_t t = 0; t < positions.size(); ++t) EXPECT_EQ(positions[t], static_cast<int32_t>(t));
  }
  EXPECT_EQ(n_tokens, want_tokens);
  EXPECT_DOUBLE_EQ(weight, want_weight);
  EXPECT_LT(n_computed, want_tokens * 6 / 10);
  EXPECT_EQ(places[3].n_prefix, 60);
  EXPECT_EQ(places[6].n_prefix, 0);
}

TEST(Pack, NothingAlikeNothingShared) {
  for (const auto& b : pack_rows(random_sequences(30, 40), {})) EXPECT_TRUE(b.prefix_ends.empty());
}

}  // namespace
}  // namespace slm::nn
