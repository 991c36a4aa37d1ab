// Attention over the paths of a forest, and over a cache, with rotary positions. On a CPU in float32 or bfloat16 by
// tiles of the kernels of kernels.h and libtorch's small matrix products; anywhere else (CUDA, float64, capped scores)
// by plain ATen operations, a node at a time: the reference the tests compare with.
//
// Shapes: N tokens, H query heads, K key/value heads, D head width, R of it rotated.
// Requires: contiguous tensors. Exceptions of torch pass through: callers in this room convert them.
// Source: Dao et al., FlashAttention (arXiv 2205.14135), FlashAttention-2 (arXiv 2307.08691) for the backward pass from
//   each row's log-sum-exp.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "nn/batch.h"
#include "nn/kernels.h"

namespace slm::nn {

struct AttentionShape {
  int64_t n_heads, n_kv, head_dim;
  int64_t rotated;     // leading values of a head that turn with the position
  double scale;        // of the scores
  double softcap = 0;  // c · tanh(scores / c); 0: none
  int64_t width() const { return (n_heads + 2 * n_kv) * head_dim; }
};

// Who sees whom, prepared once a batch for all layers. Keys go by blocks; a node begins a block of its own.
struct ForestPaths {
  std::vector<ForestNode> nodes;
  std::vector<int32_t> positions;    // [N]
  std::vector<KeyBlock> blocks;      // in the order of their tokens
  std::vector<int32_t> path_begin;   // of a node, into path_blocks; one more at the end
  std::vector<int32_t> path_blocks;  // its ancestors' blocks and its own, from the root on
};
std::shared_ptr<const ForestPaths> forest_paths(const ForestBatch& batch);

// What a layer's attention needs that depends on the batch.
struct AttentionContext {
  at::Tensor cos, sin;                       // [positions, R/2] float32 (float64 in a float64 model)
  at::Tensor rows;                           // [N] int32: of cos and sin
  int64_t window = 0;                        // a token sees this many tokens, itself included; 0: all
  std::shared_ptr<const ForestPaths> paths;  // null when only attend_cached is called
};

// qkv [N, (H + 2K)·D] → [N, H·D]: rotary, then attention of each token over the way from its root to itself.
at::Tensor attention(const at::Tensor& qkv, const AttentionContext& context, const AttentionShape& shape);

// The same without a gradient, giving the rotated keys and the values for a cache: each [N, K, D].
struct AttentionParts {
  at::Tensor out, keys, values;
};
AttentionParts attention_with_cache(const at::Tensor& qkv, const AttentionContext& context,
                                    const AttentionShape& shape);

// One new token of each row over what its cache holds, itself included; its key and value are written there first.
// No gradient. qkv [B, (H + 2K)·D] → [B, H·D]; keys, values [B, K, capacity, D].
at::Tensor attend_cached(const at::Tensor& qkv, const AttentionContext& context, const AttentionShape& shape,
                         const std::vector<int64_t>& lengths, at::Tensor& keys, at::Tensor& values);

// Whether the tiles compute this; else the plain operations do.
bool has_attention_tiles(const at::Tensor& qkv, const AttentionShape& shape);
// The plain operations, whatever the tiles can do.
AttentionParts attention_plain(const at::Tensor& qkv, const AttentionContext& context, const AttentionShape& shape);

}  // namespace slm::nn
