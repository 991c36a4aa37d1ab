// Convolutions of each channel by itself over the few tokens before: alone, gated as a layer's mixer (LFM2), and inside
// Mamba.
//
// Shapes: N tokens, B rows of a batch, C channels, K taps, the last of them the token's own.
// Source: transformers `models/lfm2/modeling_lfm2.py`; Gu, Dao, Mamba (arXiv 2312.00752) for the tail as a state.
#pragma once

#include "nn/recurrence.h"

namespace slm::nn {

struct ConvWeights {
  at::Tensor weight, bias;  // [C, 1, K], [C] or undefined
  int64_t taps() const { return weight.size(2); }
};

// What a recurrent layer keeps of a row: the last K − 1 inputs of its convolution, and Mamba's state.
struct RecurrentState {
  at::Tensor tail;   // [B, K − 1, C]
  at::Tensor state;  // [B, H, P, S]; undefined without Mamba
};

// x [N, C] → [N, C].
at::Tensor causal_conv(const at::Tensor& x, const ConvWeights& conv, const Recurrence& where);
// One new token a row, x [B, C]; the tail moves on.
at::Tensor conv_step(const at::Tensor& x, const ConvWeights& conv, at::Tensor& tail);
// Tails behind the last of the tokens of each path: [rows, K − 1, C].
at::Tensor conv_tails(const at::Tensor& x, const std::vector<std::vector<int32_t>>& paths, int64_t taps);

// projected [N, 3C] = [b | c | x] → c · conv(b · x), in the type of projected. The second gives what comes after the
// paths of its rows too.
at::Tensor short_conv(const at::Tensor& projected, const ConvWeights& conv, const Recurrence& where);
at::Tensor short_conv_with_state(const at::Tensor& projected, const ConvWeights& conv, const Recurrence& where,
                                 const std::vector<std::vector<int32_t>>& paths, RecurrentState& state);
at::Tensor short_conv_step(const at::Tensor& projected, const ConvWeights& conv, RecurrentState& state);

}  // namespace slm::nn
