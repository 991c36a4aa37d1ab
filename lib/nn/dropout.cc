#include "nn/dropout.h"

#include <ATen/Parallel.h>

#include <cmath>

namespace slm::nn {

namespace {

constexpr uint64_t kStride = 0x9e3779b97f4a7c15ULL;

// splitmix64's finaliser. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014).
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

Dropout dropout_of(const ForestBatch& batch, uint64_t seed, double rate) {
  Dropout out{1 - rate, std::vector<uint64_t>(batch.ids.size())};
  for (size_t i = 0; i < batch.nodes.size(); ++i) {
    const uint64_t sequence = mixed(mixed(seed + kStride) + static_cast<uint64_t>(batch.keys[i]) * kStride);
    for (auto t = static_cast<size_t>(batch.nodes[i].begin); t < static_cast<size_t>(batch.nodes[i].end); ++t)
      out.tokens[t] = mixed(sequence + static_cast<uint64_t>(batch.positions[t] + 1) * kStride);
  }
  return out;
}

at::Tensor dropout_mask(const Dropout& dropout, uint64_t place, const at::Tensor& x) {
  const int64_t n = x.size(0), width = x.size(1);
  at::Tensor out = at::empty({n, width}, at::kFloat);
  const auto limit = static_cast<uint32_t>(std::llround(dropout.keep * 4294967295.0));
  const auto kept = static_cast<float>(1 / dropout.keep);
  at::parallel_for(0, n, 16, [&](int64_t from, int64_t to) {
    for (int64_t t = from; t < to; ++t) {
      const uint64_t row = mixed(dropout.tokens[static_cast<size_t>(t)] + (place + 1) * kStride);
      float* values = out.data_ptr<float>() + t * width;
      for (int64_t i = 0; i < width; i += 2) {  // 32 bits each
        const uint64_t bits = mixed(row + static_cast<uint64_t>(i + 1) * kStride);
        values[i] = static_cast<uint32_t>(bits) < limit ? kept : 0.0f;
        if (i + 1 < width) values[i + 1] = static_cast<uint32_t>(bits >> 32) < limit ? kept : 0.0f;
      }
    }
  });
  return out.to(x.options());
}

}  // namespace slm::nn
