// Mamba 2 between its two projections: short convolution, a state that decays and takes in each token, a gate and a
// norm. Over a forest it goes by chunks: inside one as masked matrix products, from one to the next through the state.
// How tokens fall into chunks changes rounding alone. Its values between are computed again on the way back.
//
// Shapes: N tokens, B rows of a batch, H heads of width P, G groups, S state. projected: [·, 2·H·P + 2·G·S + H].
// Source: Dao, Gu, Transformers are SSMs (arXiv 2405.21060), sections 6 and 7;
//   transformers `models/nemotron_h/modeling_nemotron_h.py` for the order of operations.
#pragma once

#include "nn/config.h"
#include "nn/short_conv.h"

namespace slm::nn {

struct MambaWeights {
  ConvWeights conv;
  at::Tensor dt_bias, a_log, d;  // [H]
  at::Tensor norm;               // [H·P]; undefined with Gate::kPlain
};
struct MambaShape {
  MambaConfig config;
  double norm_eps = 1e-5;
};

// projected [N, …] → [N, H·P] in the type of projected.
at::Tensor mamba(const at::Tensor& projected, const MambaWeights& weights, const MambaShape& shape,
                 const Recurrence& where);
// The same without a gradient, giving what comes after the last tokens of some nodes, one a row: `paths` of their
// tokens from the root.
struct MambaRows {
  std::vector<int32_t> nodes;
  std::vector<std::vector<int32_t>> paths;
};
at::Tensor mamba_with_state(const at::Tensor& projected, const MambaWeights& weights, const MambaShape& shape,
                            const Recurrence& where, const MambaRows& rows, RecurrentState& state);
// One new token a row, [B, …] → [B, H·P]; the state moves on. No gradient.
at::Tensor mamba_step(const at::Tensor& projected, const MambaWeights& weights, const MambaShape& shape,
                      RecurrentState& state);

}  // namespace slm::nn
