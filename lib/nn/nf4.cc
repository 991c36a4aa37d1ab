#include "nn/nf4.h"

#include <ATen/Parallel.h>
#include <c10/util/ParallelGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "nn/ops.h"

namespace slm::nn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

constexpr int64_t kBlock = 64;        // values of one scale
constexpr int64_t kOuterBlock = 256;  // scales of one outer scale
constexpr float kLeast = 1e-38f;      // a block's largest magnitude is divided by no less
constexpr int64_t kGrain = 1 << 8;    // blocks a thread takes at least

// Quantiles of the normal distribution, from which both 0 and ±1 can be had.
constexpr std::array<float, 16> kValues = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

int64_t blocks_of(int64_t n, int64_t block) { return (n + block - 1) / block; }

// 7 decades, each with twice as many values as the one below it, of both signs; 0 and 1.
Tensor make_map() {
  constexpr int kDecades = 7;
  std::vector<float> values{0.0f, 1.0f};
  for (int i = 0; i < kDecades; ++i) {
    const Tensor ends = at::linspace(0.1, 1, (int64_t{1} << i) + 1, at::kFloat);
    const Tensor means = (ends.slice(0, 0, -1) + ends.slice(0, 1)) / 2.0;
    const double decade = std::pow(10.0, i - (kDecades - 1));
    for (const double sign : {1.0, -1.0}) {
      const Tensor part = (means * (sign * decade)).contiguous();
      values.insert(values.end(), part.data_ptr<float>(), part.data_ptr<float>() + part.numel());
    }
  }
  std::sort(values.begin(), values.end());
  return at::tensor(values, at::kFloat);
}

// The library finds the nearest value by a table of 65,536 equal steps over [-1, 1], so near 0, where values lie
// closer than its steps, it isn't the nearest.
constexpr int kSteps = 65536;
std::vector<uint8_t> make_steps() {
  const float* map = nf4_map().data_ptr<float>();
  std::vector<uint8_t> out(kSteps);
  for (int i = 0; i < kSteps; ++i) {
    const float value = -1.0f + 2.0f * (static_cast<float>(i) / static_cast<float>(kSteps - 1));
    const auto right = std::min<std::ptrdiff_t>(std::lower_bound(map, map + 256, value) - map, 255);
    const auto left = std::max<std::ptrdiff_t>(right - 1, 0);
    out[static_cast<size_t>(i)] = static_cast<uint8_t>(value - map[left] <= map[right] - value ? left : right);
  }
  return out;
}

uint8_t nearest_scale(float normed) {
  static const std::vector<uint8_t> steps = make_steps();
  const float v = std::clamp(normed, -1.0f, 1.0f);
  const float step = std::fma((v + 1.0f) * 0.5f, static_cast<float>(kSteps - 1), 0.5f);
  return steps[static_cast<size_t>(step)];
}

const std::array<float, 15>& midpoints() {
  static const auto out = [] {
    std::array<float, 15> m{};
    for (size_t i = 0; i < m.size(); ++i) m[i] = (kValues[i] + kValues[i + 1]) / 2.0f;
    return m;
  }();
  return out;
}

// Values of block `block` of x [n], each 0 to 15; returns the block's largest magnitude.
float quantise_block(const float* x, int64_t n, int64_t block, uint8_t* out) {
  const int64_t from = block * kBlock, count = std::min(kBlock, n - from);
  float most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::abs(x[from + i]));
  // A last block that isn't full is divided, whole ones are multiplied by the reciprocal.
  const bool whole = count == kBlock;
  if (!whole) most = std::max(most, kLeast);
  const float divisor = std::max(most, kLeast), reciprocal = 1.0f / divisor;
  const auto& bounds = midpoints();
  for (int64_t i = 0; i < count; ++i) {
    const float v = std::clamp(whole ? x[from + i] * reciprocal : x[from + i] / divisor, -1.0f, 1.0f);
    int place = 0;
    for (const float bound : bounds) place += bound < v ? 1 : 0;
    out[i] = static_cast<uint8_t>(place);
  }
  return most;
}

std::vector<float> block_scales(const Nf4& w) {
  const auto n = static_cast<size_t>(w.scales.numel());
  const auto* places = w.scales.data_ptr<uint8_t>();
  const float *map = nf4_map().data_ptr<float>(), *outer = w.outer_scales.data_ptr<float>();
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) {
    const float scaled = map[places[i]] * outer[i / kOuterBlock];
    out[i] = scaled + w.offset;
  }
  return out;
}

// Elements [from, to) of w into out.
template <class T>
void dequantise_range(const Nf4& w, int64_t from, int64_t to, T* out) {
  const std::vector<float> scales = block_scales(w);
  const auto* packed = w.packed.data_ptr<uint8_t>();
  at::parallel_for(from / kBlock, blocks_of(to, kBlock), kGrain, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      T table[16];
      for (size_t i = 0; i < 16; ++i) table[i] = static_cast<T>(kValues[i] * scales[static_cast<size_t>(block)]);
      const int64_t begin = std::max(from, block * kBlock), end = std::min(to, (block + 1) * kBlock);
      T* to_here = out + (begin - from);
      if (end - begin == kBlock) {
        const uint8_t* bytes = packed + begin / 2;
        for (int64_t i = 0; i < kBlock / 2; ++i) {
          to_here[2 * i] = table[bytes[i] >> 4];
          to_here[2 * i + 1] = table[bytes[i] & 15];
        }
        continue;
      }
      for (int64_t e = begin; e < end; ++e) {
        const uint8_t byte = packed[e / 2];
        *to_here++ = table[e % 2 == 0 ? byte >> 4 : byte & 15];
      }
    }
  });
}

// The same on a device: whole matrices only.
Tensor dequantise_on_device(const Nf4& w, at::ScalarType type) {
  const auto device = w.packed.device();
  const int64_t n = w.rows * w.columns;
  const Tensor bytes = w.packed.to(at::kInt);
  const Tensor places = at::stack({at::bitwise_right_shift(bytes, 4), at::bitwise_and(bytes, 15)}, 1).flatten();
  const Tensor values = at::tensor(at::ArrayRef<float>(kValues.data(), kValues.size()), at::kFloat).to(device);
  const auto spread = [](const Tensor& scales, int64_t block, int64_t count) {
    return scales.repeat_interleave(block).narrow(0, 0, count);
  };
  const Tensor scales = nf4_map().to(device).index_select(0, w.scales.to(at::kInt)) *
                            spread(w.outer_scales, kOuterBlock, w.scales.numel()) +
                        w.offset;
  return (values.index_select(0, places.narrow(0, 0, n)) * spread(scales, kBlock, n))
      .to(type)
      .view({w.rows, w.columns});
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& bias,
                        const std::vector<Nf4>& parts) {
    variable_list kept;
    std::vector<int64_t> sizes;
    std::vector<double> offsets;
    for (const auto& part : parts) {
      kept.insert(kept.end(), {part.packed, part.scales, part.outer_scales});
      sizes.insert(sizes.end(), {part.rows, part.columns});
      offsets.push_back(part.offset);
    }
    context->save_for_backward(kept);
    context->saved_data["sizes"] = sizes;
    context->saved_data["offsets"] = offsets;
    const Tensor weight = nf4_dequantise(parts, x.scalar_type());
    return nn::linear(x, weight, bias.value_or(Tensor()));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto kept = context->get_saved_variables();
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const auto offsets = context->saved_data["offsets"].toDoubleVector();
    std::vector<Nf4> parts;
    for (size_t i = 0; i < offsets.size(); ++i)
      parts.push_back({sizes[2 * i], sizes[2 * i + 1], kept[3 * i], kept[3 * i + 1], kept[3 * i + 2],
                       static_cast<float>(offsets[i])});
    const Tensor& dy = gradients[0];
    return {at::mm(dy, nf4_dequantise(parts, dy.scalar_type())), Tensor(), Tensor()};
  }
};

}  // namespace

int64_t Nf4::nbytes() const {
  return static_cast<int64_t>(packed.nbytes() + scales.nbytes() + outer_scales.nbytes() + sizeof offset);
}

const Tensor& nf4_map() {
  static const Tensor map = [] {
    at::NoGradGuard no_grad;
    return make_map();
  }();
  return map;
}

Nf4 nf4_quantise(const Tensor& weight) {
  at::NoGradGuard no_grad;
  const Tensor x = weight.to(at::kFloat).contiguous();
  const int64_t n = x.numel(), n_blocks = blocks_of(n, kBlock), n_outer = blocks_of(n_blocks, kOuterBlock);
  const auto bytes = at::TensorOptions().dtype(at::kByte);
  Nf4 out{weight.size(0), weight.size(1), at::zeros({(n + 1) / 2}, bytes), at::zeros({n_blocks}, bytes),
          at::empty({n_outer}, at::kFloat)};
  Tensor largest = at::empty({n_blocks}, at::kFloat);
  at::parallel_for(0, n_blocks, kGrain, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      std::array<uint8_t, kBlock> values;
      values.fill(7);  // 0: what fills up an odd number of elements
      largest.data_ptr<float>()[block] = quantise_block(x.data_ptr<float>(), n, block, values.data());
      const int64_t count = std::min(kBlock, n - block * kBlock);
      uint8_t* to = out.packed.data_ptr<uint8_t>() + block * kBlock / 2;
      for (int64_t i = 0; i < count; i += 2)
        to[i / 2] = static_cast<uint8_t>(values[static_cast<size_t>(i)] << 4 | values[static_cast<size_t>(i) + 1]);
    }
  });
  {
    const c10::ParallelGuard one_thread(true);  // the sum's order is the same on every machine
    const Tensor mean = largest.mean();
    out.offset = mean.item<float>();
    largest = largest - mean;
  }
  const float* scales = largest.data_ptr<float>();
  for (int64_t outer = 0; outer < n_outer; ++outer) {
    const int64_t from = outer * kOuterBlock, to = std::min(n_blocks, from + kOuterBlock);
    float most = 0;
    for (int64_t i = from; i < to; ++i) most = std::max(most, std::abs(scales[i]));
    out.outer_scales.data_ptr<float>()[outer] = most;
    if (most == 0) continue;
    const float reciprocal = 1.0f / most;
    for (int64_t i = from; i < to; ++i) out.scales.data_ptr<uint8_t>()[i] = nearest_scale(scales[i] * reciprocal);
  }
  return out;
}

Tensor nf4_rows(std::span<const Nf4> parts, int64_t from, int64_t n, at::ScalarType type) {
  at::NoGradGuard no_grad;
  if (!parts[0].packed.is_cpu()) {
    std::vector<Tensor> whole;
    for (const auto& part : parts) whole.push_back(dequantise_on_device(part, type));
    return at::cat(whole).narrow(0, from, n);
  }
  const int64_t columns = parts[0].columns;
  const bool wide = type == at::kDouble;  // rounded to float32 first, as the others are
  Tensor out = at::empty({n, columns}, wide ? at::kFloat : type);
  int64_t begin = 0;  // first row of the part
  for (const auto& part : parts) {
    const int64_t first = std::max(from, begin), last = std::min(from + n, begin + part.rows);
    if (first < last) {
      const Tensor to = out.narrow(0, first - from, last - first);
      const int64_t a = (first - begin) * columns, b = (last - begin) * columns;
      if (type == at::kBFloat16)
        dequantise_range(part, a, b, to.data_ptr<at::BFloat16>());
      else if (type == at::kHalf)
        dequantise_range(part, a, b, to.data_ptr<at::Half>());
      else
        dequantise_range(part, a, b, to.data_ptr<float>());
    }
    begin += part.rows;
  }
  return wide ? out.to(at::kDouble) : out;
}

Tensor nf4_dequantise(std::span<const Nf4> parts, at::ScalarType type) {
  int64_t rows = 0;
  for (const auto& part : parts) rows += part.rows;
  return nf4_rows(parts, 0, rows, type);
}

Tensor nf4_linear(const Tensor& x, const std::vector<Nf4>& parts, const Tensor& bias) {
  return Linear::apply(x, bias.defined() ? std::optional(bias) : std::nullopt, parts);
}

}  // namespace slm::nn
