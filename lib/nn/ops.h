// The decoder's fused operations with their gradients. On a CPU in float32 or bfloat16 they run the kernels of
// kernels.h; anywhere else (CUDA, float64) plain ATen operations that compute the same: the reference the tests compare
// with.
//
// Shapes: N = rows · length tokens, d width, H query heads, K key/value heads, D head width, R of it rotated, F ffn
// width, V vocabulary.
//   The residual stream is float32 (float64 in a float64 model); what goes into and out of matrix products has the
//   model's compute type.
// Requires: contiguous tensors. Exceptions of torch pass through: callers in this room convert them.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "nn/config.h"

namespace slm::nn {

struct AttentionShape {
  int64_t rows, length, n_heads, n_kv, head_dim;
  int64_t rotated;     // leading values of a head that turn with the position
  double scale;        // of the scores
  double softcap = 0;  // c · tanh(scores / c); 0: none
};

// Rotation tables and who sees whom: token i sees [prefix_starts[i], prefix_ends[i]) and [starts[i], itself] of its
// row, as RowBatch says. So several sequences packed in one row don't see each other, and padding isn't seen by
// anything before it.
struct AttentionContext {
  at::Tensor cos, sin;                    // [positions, R/2] float32 (float64 in a float64 model)
  at::Tensor positions, starts;           // [N] int32
  at::Tensor prefix_starts, prefix_ends;  // [N] int32, or undefined: nothing shared
};

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
at::Tensor norm_heads(const at::Tensor& qkv, const at::Tensor& q_weight, const at::Tensor& k_weight,
                      const AttentionShape& shape, double eps);

// qkv [N, (H + 2K)·D] → [N, H·D]: rotary, then causal attention within each token's own sequence.
at::Tensor attention(const at::Tensor& qkv, const AttentionContext& context, const AttentionShape& shape);

// The same without a gradient, giving the rotated keys and the values for a cache: each [rows, K, T, D].
struct AttentionParts {
  at::Tensor out, keys, values;
};
AttentionParts attention_with_cache(const at::Tensor& qkv, const AttentionContext& context,
                                    const AttentionShape& shape);

// One new token of each row over what its cache holds, itself included; its key and value are written there first.
// No gradient. qkv [B, (H + 2K)·D] → [B, H·D]; keys, values [B, K, capacity, D].
struct CachedRows {
  const std::vector<int64_t>& lengths;  // of the cache before this token
  int64_t window = 0;                   // a token sees this many tokens, itself included; 0: all
};
at::Tensor attend_cached(const at::Tensor& qkv, const AttentionContext& context, const AttentionShape& shape,
                         const CachedRows& rows, at::Tensor& keys, at::Tensor& values);

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
