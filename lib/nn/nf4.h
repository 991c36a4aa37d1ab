// 4-bit weights as QLoRA has them: NormalFloat values in blocks of 64, whose scales are 8-bit numbers in blocks of 256.
// Bit for bit what bitsandbytes' CPU backend makes (quant_type "nf4", compress_statistics); one checkpoint tensor each.
//
// Shapes: a weight is [rows, columns]; blocks run over its elements in row order.
// Units: 0.516 bytes an element and 4 bytes for every 16,384.
// Source: Dettmers et al., "QLoRA" (arXiv 2305.14314); bitsandbytes 0.50.2 `functional.py` (create_dynamic_map,
//   quantize_4bit), `backends/default/ops.py`; its CPU library for how 8-bit numbers round. scripts/interop/families.py
//   compares.
#pragma once

#include <torch/types.h>

#include <span>

namespace slm::nn {

struct Nf4 {
  int64_t rows = 0, columns = 0;
  at::Tensor packed;        // [⌈n / 2⌉] bytes: two values each, the first in the high half
  at::Tensor scales;        // [⌈n / 64⌉] bytes: largest magnitude of a block less `offset`, as a place in nf4_map()
  at::Tensor outer_scales;  // [⌈scales / 256⌉] float32
  float offset = 0;         // mean of the blocks' largest magnitudes
  int64_t nbytes() const;
};

// The 256 values of the scales' type, rising.
const at::Tensor& nf4_map();
// Requires: a matrix of floats on the CPU, finite.
Nf4 nf4_quantise(const at::Tensor& weight);

// Rows [from, from + n) of matrices of one width that lie one upon the other. Rounded once, from float32.
at::Tensor nf4_rows(std::span<const Nf4> parts, int64_t from, int64_t n, at::ScalarType type);
// All of them.
at::Tensor nf4_dequantise(std::span<const Nf4> parts, at::ScalarType type);

// x · Wᵀ + bias in x's type, W dequantised where it is used: once forward, once backward. Keeps nothing but the packed
// bytes for the way back; only x gets a gradient. bias may be undefined.
at::Tensor nf4_linear(const at::Tensor& x, const std::vector<Nf4>& parts, const at::Tensor& bias);

}  // namespace slm::nn
