// Token sequences → rows for the decoder: several sequences share a row and don't see each other, so packing changes
// the cost of a step and not its loss.
//
// Units: tokens. A sequence's first token has nothing before it and is never a target.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/decoder.h"

namespace slm::finetune {

struct Sequence {
  std::vector<int32_t> ids;
  size_t n_prompt = 0;      // the first n_prompt tokens
  float prompt_weight = 0;  // weight of their loss; the rest weigh 1
};

struct PackOptions {
  int64_t row_length = 0;     // 0: the longest sequence of the call, rounded up to a multiple of 16
  int64_t max_tokens = 8192;  // of one batch, padding included; at least one row
};
// First-fit decreasing into rows, rows into batches. Every sequence appears once.
// Requires: no sequence is longer than row_length (unless 0).
std::vector<nn::RowBatch> pack_rows(std::span<const Sequence> sequences, const PackOptions& options);

// One batch of the rows of several. Requires: equal lengths.
nn::RowBatch join_rows(std::span<const nn::RowBatch> batches);

}  // namespace slm::finetune
