// Attention by tiles: a few consecutive query tokens of one key/value head against the blocks of keys on their path.
// Internal to attention.cc and attention_tiles.cc.
//
// Threads: the results don't depend on their number.
#pragma once

#include "nn/attention.h"

namespace slm::nn {

// rotated [N, (H + 2K)·D]: queries turned and scaled, keys turned. → out [N, H·D]; lse [N, H] float32, or undefined.
at::Tensor tiles_forward(const at::Tensor& rotated, const AttentionContext& context, const AttentionShape& shape,
                         at::Tensor* lse);
// The gradient of `rotated`.
at::Tensor tiles_backward(const at::Tensor& rotated, const at::Tensor& out, const at::Tensor& lse,
                          const at::Tensor& d_out, const AttentionContext& context, const AttentionShape& shape);

}  // namespace slm::nn
