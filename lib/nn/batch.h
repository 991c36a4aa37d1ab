// Token sequences packed in rows for the decoder. Several sequences share a row and don't see each other; sequences
// that begin alike can share the tokens they begin with. Both change the cost of a pass, not its loss or gradient.
//
// Shapes: rows · length tokens, row-major; "flat" is an index into them. No torch here.
// Units: tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace slm::nn {

struct RowBatch {
  int64_t rows = 0, length = 0;
  std::vector<int32_t> ids;        // padding is any valid id
  std::vector<int32_t> positions;  // position within its own sequence
  // A token sees [prefix_starts, prefix_ends) and [starts, itself] of its row. The first two may be empty: no sharing.
  std::vector<int32_t> starts, prefix_starts, prefix_ends;
  std::vector<int32_t> rope_keys;  // of its sequence (nn/config.h); empty: all 0
  std::vector<int32_t> loss_at;    // flat index of a hidden state that predicts …
  std::vector<int32_t> targets;    // … this token
  std::vector<float> weights;      // with this weight
  int64_t n_tokens = 0;            // of the sequences, as if nothing were shared; without padding
  double loss_weight() const;      // Σ weights
};

struct Sequence {
  std::vector<int32_t> ids;
  size_t n_prompt = 0;      // the first n_prompt tokens
  float prompt_weight = 0;  // weight of their loss; the rest weigh 1. The first token is never a target
  int32_t rope_key = 0;     // rope_key(config, length): sequences of different keys share nothing
};

struct PackOptions {
  int64_t row_length = 0;     // 0: as suits the sequences, a multiple of 16
  int64_t max_tokens = 8192;  // of one batch, padding included; at least one row
  bool share_prefixes = true;
};

// Where a sequence went.
struct Placement {
  size_t batch = 0;
  int64_t row = 0;
  int64_t prefix_start = 0, n_prefix = 0;  // in the row; shared with others
  int64_t start = 0;                       // of the rest, in the row
};

// Every sequence appears once, in a deterministic place. placements (may be null): one per sequence, in their order.
// Requires: no sequence is empty, or longer than row_length (unless 0).
std::vector<RowBatch> pack_rows(std::span<const Sequence> sequences, const PackOptions& options,
                                std::vector<Placement>* placements = nullptr);
// One batch of the rows of several. Requires: equal lengths; all or none with prefixes; all or none with rope keys.
RowBatch join_rows(std::span<const RowBatch> batches);

}  // namespace slm::nn
