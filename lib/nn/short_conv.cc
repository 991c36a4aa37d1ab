#include "nn/short_conv.h"

#include <algorithm>

namespace slm::nn {

using at::Tensor;

namespace {

Tensor with_empty_row(const Tensor& x) { return at::constant_pad_nd(x, {0, 0, 0, 1}); }
Tensor tap(const ConvWeights& conv, int64_t k) { return conv.weight.select(2, k).select(1, 0); }

Tensor wide(const Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

struct Parts {
  Tensor gate, input;
};
Parts parts_of(const Tensor& projected) {
  const auto thirds = wide(projected).chunk(3, -1);
  return {thirds[1], thirds[0] * thirds[2]};
}

}  // namespace

Tensor causal_conv(const Tensor& x, const ConvWeights& conv, const Recurrence& where) {
  const int64_t k = conv.taps();
  Tensor out = x * tap(conv, k - 1);
  if (conv.bias.defined()) out = out + conv.bias;
  const Tensor padded = with_empty_row(x);
  for (int64_t j = 1; j < k; ++j)
    out = out + padded.index_select(0, where.before[static_cast<size_t>(j) - 1]) * tap(conv, k - 1 - j);
  return out;
}

Tensor conv_step(const Tensor& x, const ConvWeights& conv, Tensor& tail) {
  const Tensor seen = at::cat({tail, x.unsqueeze(1)}, 1);
  tail = seen.narrow(1, 1, conv.taps() - 1).contiguous();
  const Tensor out = (seen * conv.weight.squeeze(1).t()).sum(1);
  return conv.bias.defined() ? out + conv.bias : out;
}

Tensor conv_tails(const Tensor& x, const std::vector<std::vector<int32_t>>& paths, int64_t taps) {
  std::vector<int64_t> index;
  for (const auto& path : paths)
    for (int64_t j = taps - 1; j >= 1; --j) {
      const int64_t i = std::ssize(path) - j;
      index.push_back(i >= 0 ? path[static_cast<size_t>(i)] : x.size(0));
    }
  const Tensor rows = at::tensor(at::ArrayRef<int64_t>(index.data(), index.size()), at::kLong).to(x.device());
  return with_empty_row(x).index_select(0, rows).view({std::ssize(paths), taps - 1, x.size(1)});
}

Tensor short_conv(const Tensor& projected, const ConvWeights& conv, const Recurrence& where) {
  const auto [gate, input] = parts_of(projected);
  return (gate * causal_conv(input, conv, where)).to(projected.scalar_type());
}

Tensor short_conv_with_state(const Tensor& projected, const ConvWeights& conv, const Recurrence& where,
                             const std::vector<std::vector<int32_t>>& paths, RecurrentState& state) {
  state.tail = conv_tails(parts_of(projected).input, paths, conv.taps());
  return short_conv(projected, conv, where);
}

Tensor short_conv_step(const Tensor& projected, const ConvWeights& conv, RecurrentState& state) {
  const auto [gate, input] = parts_of(projected);
  return (gate * conv_step(input, conv, state.tail)).to(projected.scalar_type());
}

}  // namespace slm::nn
