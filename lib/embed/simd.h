// The inner loops that embedding and clustering spend their time in, on plain spans.
//
// One fixed order of additions on every machine (eight lanes, then the lanes pairwise), with or without vector units,
// so that results don't depend on the instruction set: no fused multiply-add.
#pragma once

#include <cstddef>

namespace slm::embed::simd {

// out[i] += scale · x[i]
void add_scaled(float* out, const float* x, float scale, size_t n);
// Σ x[i] · y[i]
float dot(const float* x, const float* y, size_t n);
// dots[r] = x · rows[r] for n_rows rows of n columns.
void dots(const float* x, const float* rows, size_t n_rows, size_t n, float* out);
void dots(const double* x, const double* rows, size_t n_rows, size_t n, double* out);

}  // namespace slm::embed::simd
