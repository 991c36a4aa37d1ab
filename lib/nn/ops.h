// The decoder's fused operations with their gradients. On a CPU in float32 or bfloat16 they run the kernels of
// kernels.h; anywhere else (CUDA, float64) plain ATen operations that compute the same: the reference the tests compare
// with.
//
// Shapes: N tokens, d width, H query heads, K key/value heads, D head width, F ffn width, V vocabulary.
//   The residual stream is float32 (float64 in a float64 model); what goes into and out of matrix products has the
//   model's compute type.
// Requires: contiguous tensors. Exceptions of torch pass through: callers in this room convert them.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "nn/config.h"

namespace slm::nn {

struct NormOut {
  at::Tensor sum;     // x + y, the new residual stream
  at::Tensor normed;  // in the compute type
};
// RMS norm of x + y; y may be undefined.
NormOut add_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, double eps,
                 at::ScalarType compute);

// [N, 2F] → [N, F]: act(gate) · up; not gated [N, F] → [N, F]
at::Tensor activate(const at::Tensor& gate_up, Activation activation, bool gated);

// RMS norm of each query and key head of qkv [N, (H + 2K)·D]; weights [D].
at::Tensor norm_heads(const at::Tensor& qkv, const at::Tensor& q_weight, const at::Tensor& k_weight, int64_t n_kv,
                      double eps);

// x [m, in] · weightᵀ [in, out] + bias (may be undefined). A few rows of floats without a gradient, as when answers are
// decoded, take a kernel that reads the weights once, as they lie; else it is libtorch's product.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

struct CrossEntropy {
  at::Tensor loss;   // float64 scalar: Σ weight · −log softmax(h Wᵀ)[target]
  int64_t hits = 0;  // positions of weight ≠ 0 whose target is the most likely token
};
// h [P, d], weight [V, d], targets [P] int32, weights [P] float32. Logits exist only for a few hundred rows at a time.
// softcap: of the logits, c · tanh(x / c); 0: none.
struct LossTargets {
  at::Tensor targets, weights;
};
CrossEntropy linear_cross_entropy(const at::Tensor& h, const at::Tensor& weight, const LossTargets& at, double softcap);

// True if the kernels serve this tensor.
bool has_kernel(const at::Tensor& tensor);

}  // namespace slm::nn
