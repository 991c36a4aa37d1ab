// Tables of rotary positions. Torch headers: only nn includes this.
//
// Shapes: [positions, R/2], R rotated values of a head.
// Source: transformers `modeling_rope_utils.py` for the order of operations in float32; YaRN: arXiv 2309.00071;
//   LongRoPE: arXiv 2402.13753; Llama 3's: the model card of Llama 3.1 as that file computes it.
#pragma once

#include <torch/types.h>

#include "nn/config.h"

namespace slm::nn {

struct RopeTable {
  at::Tensor cos, sin;
};
// key: of rope_key(). type: kFloat or kDouble. Without a rope (null) nothing turns: cos 1, sin 0.
RopeTable rope_table(const RopeConfig* rope, int64_t rotated, int32_t key, int64_t positions, at::ScalarType type);

}  // namespace slm::nn
