#include "nn/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace slm::nn {

using at::Tensor;
using Type = RopeConfig::Type;

namespace {

Tensor plain_frequencies(double theta, int64_t rotated, at::ScalarType type) {
  const Tensor exponent = at::arange(0, rotated, 2, at::kLong).to(type) / static_cast<double>(rotated);
  return at::pow(at::scalar_tensor(theta, type), exponent);
}

// The frequency whose wave turns n times within `positions`, as a place among the frequencies.
double correction_place(double n, int64_t rotated, double theta, double positions) {
  return static_cast<double>(rotated) * std::log(positions / (n * 2 * std::numbers::pi)) / (2 * std::log(theta));
}

Tensor yarn_frequencies(const RopeConfig& rope, int64_t rotated, at::ScalarType type) {
  const Tensor base = plain_frequencies(rope.theta, rotated, type);
  const auto original = static_cast<double>(rope.original_positions);
  double low = correction_place(rope.beta_fast, rotated, rope.theta, original);
  double high = correction_place(rope.beta_slow, rotated, rope.theta, original);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rotated - 1));
  if (low == high) high += 0.001;
  const Tensor ramp = ((at::arange(rotated / 2, type) - low) / (high - low)).clamp(0, 1);
  const Tensor keep = 1 - ramp;
  return 1.0 / (base * rope.factor) * (1 - keep) + 1.0 / base * keep;
}

Tensor llama3_frequencies(const RopeConfig& rope, int64_t rotated, at::ScalarType type) {
  const Tensor inverse = 1.0 / plain_frequencies(rope.theta, rotated, type);
  const auto original = static_cast<double>(rope.original_positions);
  const double longest = original / rope.low_freq_factor, shortest = original / rope.high_freq_factor;
  const Tensor wave = 2 * std::numbers::pi / inverse;
  const Tensor slowed = at::where(wave > longest, inverse / rope.factor, inverse);
  const Tensor smooth = (original / wave - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  const Tensor mixed = (1 - smooth) * slowed / rope.factor + smooth * slowed;
  return at::where((wave <= longest) & (wave >= shortest), mixed, slowed);
}

Tensor inverse_frequencies(const RopeConfig& rope, int64_t rotated, int32_t key, at::ScalarType type) {
  switch (rope.type) {
    case Type::kDefault:
      break;
    case Type::kLinear:
      return 1.0 / plain_frequencies(rope.theta, rotated, type) / rope.factor;
    case Type::kDynamic: {
      if (key == 0) break;
      const double grown = rope.factor * key / static_cast<double>(rope.original_positions) - (rope.factor - 1);
      const double power = static_cast<double>(rotated) / static_cast<double>(rotated - 2);
      return 1.0 / plain_frequencies(rope.theta * std::pow(grown, power), rotated, type);
    }
    case Type::kYarn:
      return yarn_frequencies(rope, rotated, type);
    case Type::kLlama3:
      return llama3_frequencies(rope, rotated, type);
    case Type::kLongRope: {
      const auto& factors = key == 0 ? rope.short_factors : rope.long_factors;
      return 1.0 / (at::tensor(factors, at::kDouble).to(type) * plain_frequencies(rope.theta, rotated, type));
    }
  }
  return 1.0 / plain_frequencies(rope.theta, rotated, type);
}

}  // namespace

RopeTable rope_table(const RopeConfig* rope, int64_t rotated, int32_t key, int64_t positions, at::ScalarType type) {
  if (rope == nullptr) return {at::ones({positions, rotated / 2}, type), at::zeros({positions, rotated / 2}, type)};
  const Tensor inverse = inverse_frequencies(*rope, rotated, key, type);
  const Tensor angle = at::arange(positions, at::kLong).to(type).unsqueeze(1) * inverse.view({1, rotated / 2});
  Tensor cos = angle.cos(), sin = angle.sin();
  if (rope->attention_factor != 1) {
    cos = cos * rope->attention_factor;
    sin = sin * rope->attention_factor;
  }
  return {cos.contiguous(), sin.contiguous()};
}

}  // namespace slm::nn
