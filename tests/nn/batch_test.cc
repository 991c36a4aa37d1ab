#include "nn/batch.h"

#include <gtest/gtest.h>

#include <map>

#include "core/random.h"

namespace slm::nn {
namespace {

std::vector<int32_t> tokens(Prng& prng, size_t n) {
  std::vector<int32_t> out;
  for (size_t i = 0; i < n; ++i) out.push_back(static_cast<int32_t>(prng.below(100)));
  return out;
}

Sequence sequence(std::vector<int32_t> ids, size_t n_own, float prompt_weight = 0) {
  const size_t n_prompt = ids.size() - std::min(n_own, ids.size());
  return {std::move(ids), n_prompt, prompt_weight, 0};
}

std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A system prompt, two kinds of tools under it, sessions that grow turn by turn, strangers, and a duplicate.
std::vector<Sequence> sessions(Prng& prng) {
  std::vector<Sequence> out;
  const auto system = tokens(prng, 40);
  for (int tools = 0; tools < 2; ++tools) {
    const auto with_tools = joined(system, tokens(prng, 30));
    for (int session = 0; session < 3; ++session) {
      auto history = joined(with_tools, tokens(prng, 12));
      for (int turn = 0; turn < 4; ++turn) {
        history = joined(history, tokens(prng, 10 + prng.below(90)));
        out.push_back(sequence(history, 10, turn % 2 == 0 ? 0.25f : 0.0f));
      }
    }
  }
  for (int i = 0; i < 5; ++i) out.push_back(sequence(tokens(prng, 2 + prng.below(70)), 2));
  out.push_back(out[3]);
  out.push_back(sequence(system, 1));
  return out;
}

// What a batch predicts: (the tokens before, the token) → weight.
using Predictions = std::map<std::pair<std::vector<int32_t>, int32_t>, double>;

Predictions predictions(const ForestBatch& batch) {
  Predictions out;
  std::vector<int32_t> node_of(batch.ids.size());
  for (size_t n = 0; n < batch.nodes.size(); ++n)
    for (int32_t t = batch.nodes[n].begin; t < batch.nodes[n].end; ++t)
      node_of[static_cast<size_t>(t)] = static_cast<int32_t>(n);
  for (size_t i = 0; i < batch.loss_at.size(); ++i) {
    std::vector<int32_t> before;
    for (const int32_t t : batch.path(node_of[static_cast<size_t>(batch.loss_at[i])]))
      if (t <= batch.loss_at[i]) before.push_back(batch.ids[static_cast<size_t>(t)]);
    out[{before, batch.targets[i]}] += batch.weights[i];
  }
  return out;
}

Predictions predictions(const std::vector<Sequence>& sequences) {
  Predictions out;
  for (const auto& s : sequences)
    for (size_t t = 1; t < s.ids.size(); ++t) {
      const double weight = t < s.n_prompt ? s.prompt_weight : 1.0f;
      if (weight > 0) out[{{s.ids.begin(), s.ids.begin() + static_cast<int64_t>(t)}, s.ids[t]}] += weight;
    }
  return out;
}

TEST(Forest, EverySequenceIsAPathAndEveryPredictionKeepsItsWeight) {
  Prng prng(5);
  const auto all = sessions(prng);
  for (const bool share : {false, true})
    for (const int64_t limit : {1, 300, 1 << 20}) {
      std::vector<Placement> places;
      const auto batches = make_forests(all, {limit, share}, &places);
      ASSERT_EQ(places.size(), all.size());
      Predictions ours;
      int64_t n_tokens = 0;
      for (const auto& batch : batches) {
        n_tokens += batch.n_tokens;
        for (const auto& [what, weight] : predictions(batch)) ours[what] += weight;
        int32_t next = 0;
        for (size_t n = 0; n < batch.nodes.size(); ++n) {
          const auto& node = batch.nodes[n];
          EXPECT_EQ(node.begin, next);
          EXPECT_LT(node.begin, node.end);
          EXPECT_LT(node.parent, static_cast<int32_t>(n));
          next = node.end;
        }
        EXPECT_EQ(next, batch.size());
      }
      int64_t want_tokens = 0;
      for (size_t i = 0; i < all.size(); ++i) {
        const auto& batch = batches[places[i].batch];
        std::vector<int32_t> ids;
        const auto path = batch.path(places[i].node);
        for (size_t t = 0; t < path.size(); ++t) {
          ids.push_back(batch.ids[static_cast<size_t>(path[t])]);
          EXPECT_EQ(batch.positions[static_cast<size_t>(path[t])], static_cast<int32_t>(t));
        }
        EXPECT_EQ(ids, all[i].ids) << i;
        want_tokens += std::ssize(all[i].ids);
      }
      EXPECT_EQ(n_tokens, want_tokens);
      EXPECT_EQ(ours, predictions(all));
    }
}

TEST(Forest, WhatIsSharedIsComputedOnce) {
  Prng prng(6);
  const auto all = sessions(prng);
  const auto shared = make_forests(all, {1 << 20, true}), alone = make_forests(all, {1 << 20, false});
  ASSERT_EQ(shared.size(), 1u);
  ASSERT_EQ(alone.size(), 1u);
  EXPECT_EQ(alone[0].size(), alone[0].n_tokens);
  EXPECT_EQ(alone[0].nodes.size(), all.size());
  // 40 of the system prompt, 2 · 30 of tools, each session's last call without them, 5 strangers.
  int64_t want = 40 + 2 * 30;
  for (size_t i = 3; i < 24; i += 4) want += std::ssize(all[i].ids) - 70;
  for (size_t i = 24; i < 29; ++i) want += std::ssize(all[i].ids);
  EXPECT_EQ(shared[0].size(), want);
  EXPECT_LT(shared[0].size() * 2, shared[0].n_tokens);
}

TEST(Forest, ShortCommonStretchesStayApart) {
  Prng prng(7);
  const auto seven = tokens(prng, 7), eight = tokens(prng, 8);
  std::vector<Sequence> all;
  for (int i = 0; i < 2; ++i) {
    all.push_back(sequence(joined(seven, {200 + i, 1, 2}), 1));
    all.push_back(sequence(joined(eight, {200 + i, 1, 2}), 1));
  }
  const auto batch = make_forests(all, {})[0];
  EXPECT_EQ(batch.size(), 2 * 10 + 8 + 2 * 3);
  EXPECT_EQ(batch.nodes.size(), 2u + 3u);
}

TEST(Forest, DifferentRopeKeysShareNothing) {
  Prng prng(8);
  const auto ids = tokens(prng, 30);
  std::vector<Sequence> all{{ids, 20, 0, 0}, {ids, 20, 0, 1}, {ids, 20, 0, 1}};
  const auto batch = make_forests(all, {})[0];
  EXPECT_EQ(batch.size(), 60);
  EXPECT_EQ(batch.rope_keys.front(), 0);
  EXPECT_EQ(batch.rope_keys.back(), 1);
}

TEST(Forest, BatchesKeepToTheLimitWhereASequenceFits) {
  Prng prng(9);
  std::vector<Sequence> all;
  for (int i = 0; i < 100; ++i) all.push_back(sequence(tokens(prng, 2 + prng.below(60)), 1));
  const auto batches = make_forests(all, {128, false});
  for (size_t i = 0; i + 1 < batches.size(); ++i) {
    EXPECT_LE(batches[i].size(), 128);
    EXPECT_GT(batches[i].size() + batches[i + 1].nodes[0].end, 128);
  }
  EXPECT_TRUE(make_forests({}, {}).empty());
}

// A session of twelve calls is longer than a batch should be: its turns share one batch all the same, a stranger
// doesn't.
TEST(Batch, ALongSessionIsNotTakenApart) {
  Prng prng(5);
  std::vector<Sequence> all;
  auto history = tokens(prng, 50);
  for (int turn = 0; turn < 12; ++turn) all.push_back(sequence(history = joined(history, tokens(prng, 40)), 10));
  all.push_back(sequence(tokens(prng, 530), 10));
  const auto batches = make_forests(all, {.max_tokens = 100});
  ASSERT_EQ(batches.size(), 2u);
  for (const auto& batch : batches) EXPECT_EQ(batch.size(), 530);
}

}  // namespace
}  // namespace slm::nn
