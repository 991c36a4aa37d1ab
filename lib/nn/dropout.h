// Dropout without a generator: whether a value is kept follows from the step's seed, the sequence's key, the token's
// position and the place in the model. So a mask is the same when it is drawn again on the way back, however sequences
// are cut into micro-batches, and on whichever process they lie.
//
// Shapes: N tokens of a batch.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "nn/batch.h"

namespace slm::nn {

struct Dropout {
  double keep = 1;               // share of values that are kept
  std::vector<uint64_t> tokens;  // [N]: of a token, the same in whatever batch it lies
};
Dropout dropout_of(const ForestBatch& batch, uint64_t seed, double rate);

// 0 or 1/keep for each value of x [N, width], as x is. place: of x in the model. Drawn on the CPU: the same on every
// device.
at::Tensor dropout_mask(const Dropout& dropout, uint64_t place, const at::Tensor& x);

}  // namespace slm::nn
