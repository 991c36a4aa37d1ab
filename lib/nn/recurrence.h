// Where the recurrent layers of a forest read: which token came before which, and how stretches of tokens follow each
// other. A node's end is where its children begin: state and convolution tail fork there, and gradients flow back and
// add up.
//
// Shapes: N tokens of the forest, C chunks of at most `length` tokens. A chunk lies in one node; index N stands for no
//   token.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "nn/batch.h"

namespace slm::nn {

struct Recurrence {
  std::vector<at::Tensor> before;  // [N] int64 each: the token 1, 2, … before, on the way from the root

  // Chunks by level: how many came before them on their way.
  int64_t length = 0;
  at::Tensor tokens;                 // [C · length] int64
  at::Tensor places;                 // [N] int64: of a token, in tokens
  std::vector<int64_t> level_begin;  // first chunk of each level; one more at the end
  std::vector<at::Tensor> parents;   // of each level but the first, [its chunks] int64: place in the level before
  std::vector<int64_t> last_chunk;   // of each node

  int64_t n_chunks() const { return level_begin.back(); }
  int64_t n_levels() const { return static_cast<int64_t>(level_begin.size()) - 1; }
};

// reach: tokens that a convolution sees before its own. chunk: tokens of a chunk at most; 0: none are made.
Recurrence recurrence_of(const ForestBatch& batch, int64_t reach, int64_t chunk, at::Device device);

}  // namespace slm::nn
