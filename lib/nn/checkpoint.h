// Activation checkpointing: a layer of which only the input is held; when its gradient comes, it is computed again.
//
// What the layer reads that takes gradients gets them as from backward() without this, added to what it has already;
// torch::autograd::grad wouldn't find them.
// Requires: `layer` gives the same bits again, reads nothing that changes before the backward pass, and outlives it:
//   masks of dropout follow from the batch (nn/dropout.h), not from a generator.
// Threads: the backward pass may run `layer` on a thread of torch's.
// Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174).
#pragma once

#include <functional>

#include "nn/ops.h"

namespace slm::nn {

// (stream, last block's output, which may be undefined) → the same after the layer.
using LayerFunction = std::function<NormOut(const at::Tensor& x, const at::Tensor& y)>;

// layer(x, y), all gradients with the same bits. Requires: the layer begins by adding y to x.
NormOut recomputed(const at::Tensor& x, const at::Tensor& y, LayerFunction layer);

}  // namespace slm::nn
