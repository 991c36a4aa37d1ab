// A batch of token sequences as a forest: what sequences begin with alike is one path of nodes, computed once, forward
// and backward. Sequences side by side (packing) are several trees; nothing is padded. How a batch is laid out changes
// its cost, not its loss or gradient.
//
// Shapes: N tokens of all nodes; "flat" is an index into them. No torch here.
// Units: tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace slm::nn {

// Tokens [begin, end), which follow the last one of the parent (−1: they begin a sequence).
struct ForestNode {
  int32_t begin = 0, end = 0, parent = -1;
};

// What a teacher was logged to have said of one token of an answer: the probability of some ids. The rest is spread
// over all others, nobody knows how.
struct LoggedTopK {
  int32_t at = 0;  // of a sequence: the index of the token; of a batch: the index into loss_at of what predicts it
  std::vector<int32_t> ids;  // different ones
  std::vector<float> probabilities;
};

struct ForestBatch {
  std::vector<ForestNode> nodes;   // depth first, parents before children; their tokens in this order, without gaps
  std::vector<int32_t> ids;        // [N]
  std::vector<int32_t> positions;  // [N], within the sequence. A token sees those on the way from its root to itself
  std::vector<int32_t> rope_keys;  // [N], of its sequence (nn/config.h); empty: all 0
  std::vector<int64_t> keys;       // of each node, that of the sequence whose tokens it has
  std::vector<int32_t> loss_at;    // flat index of a hidden state that predicts …
  std::vector<int32_t> targets;    // … this token; once per child where paths part
  std::vector<float> weights;      // with this weight, summed over the sequences that share the prediction
  std::vector<LoggedTopK> logged;  // by `at`; of several sequences that share a prediction each its own
  int64_t n_tokens = 0;            // of the sequences, as if nothing were shared
  int64_t size() const { return static_cast<int64_t>(ids.size()); }
  double loss_weight() const;                     // Σ weights
  std::vector<int32_t> path(int32_t node) const;  // flat indices from the root to the node's last token
};

struct Sequence {
  std::vector<int32_t> ids;
  size_t n_prompt = 0;                  // the first n_prompt tokens
  float prompt_weight = 0;              // weight of their loss; the rest weigh 1. The first token is never a target
  int32_t rope_key = 0;                 // rope_key(config, length): sequences of different keys share nothing
  std::vector<LoggedTopK> logged = {};  // by `at`, of tokens after the prompt
  int64_t key = -1;                     // of its masks of dropout; −1: its place among those given to make_forests
};

struct ForestOptions {
  int64_t max_tokens =
      8192;  // N of one batch, short common stretches aside; most_tokens() says how much more it may be
  bool share_prefixes = true;
};

// N of a batch that ends with a sequence of this length: a path longer than max_tokens takes its branches along, up to
// a quarter of its length, so that the calls of a long session don't each compute the session anew.
inline int64_t most_tokens(int64_t max_tokens, int64_t length) {
  const int64_t grown = length + length / 4;
  return max_tokens > grown ? max_tokens : grown;
}

// Where a sequence ends: with the last token of this node.
struct Placement {
  size_t batch = 0;
  int32_t node = 0;
};

// Every sequence appears once, in a deterministic place. placements (may be null): one per sequence, in their order.
// Requires: no sequence is empty.
std::vector<ForestBatch> make_forests(std::span<const Sequence> sequences, const ForestOptions& options,
                                      std::vector<Placement>* placements = nullptr);

}  // namespace slm::nn
