#include "embed/simd.h"

#include <cstring>

// Clones for wider units of the same arithmetic; the loader picks one.
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define SLM_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define SLM_CLONES
#endif

namespace slm::embed::simd {

namespace {

constexpr size_t kLanes = 8;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

using WideLanes = double __attribute__((vector_size(4 * sizeof(double))));

// Macros, not functions: a wide vector must not be passed between clones.
#define SLM_SUM(s) (((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])))
#define SLM_LOAD(name, p) \
  Lanes name;             \
  std::memcpy(&name, (p), sizeof name)

}  // namespace

SLM_CLONES void add_scaled(float* out, const float* x, float scale, size_t n) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    SLM_LOAD(a, out + i);
    SLM_LOAD(b, x + i);
    a += b * scale;
    std::memcpy(out + i, &a, sizeof a);
  }
  for (; i < n; ++i) out[i] += scale * x[i];
}

SLM_CLONES float dot(const float* x, const float* y, size_t n) {
  Lanes s0{}, s1{}, s2{}, s3{};
  size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    SLM_LOAD(a0, x + i);
    SLM_LOAD(b0, y + i);
    SLM_LOAD(a1, x + i + kLanes);
    SLM_LOAD(b1, y + i + kLanes);
    SLM_LOAD(a2, x + i + 2 * kLanes);
    SLM_LOAD(b2, y + i + 2 * kLanes);
    SLM_LOAD(a3, x + i + 3 * kLanes);
    SLM_LOAD(b3, y + i + 3 * kLanes);
    s0 += a0 * b0;
    s1 += a1 * b1;
    s2 += a2 * b2;
    s3 += a3 * b3;
  }
  for (; i + kLanes <= n; i += kLanes) {
    SLM_LOAD(a, x + i);
    SLM_LOAD(b, y + i);
    s0 += a * b;
  }
  const Lanes s = (s0 + s1) + (s2 + s3);
  float tail = 0;
  for (; i < n; ++i) tail += x[i] * y[i];
  return SLM_SUM(s) + tail;
}

SLM_CLONES void dots(const float* x, const float* rows, size_t n_rows, size_t n, float* out) {
  // Four rows at a time share the loads of x. Each row's additions: one set of lanes, in column order.
  size_t r = 0;
  for (; r + 4 <= n_rows; r += 4) {
    const float* y[4] = {rows + r * n, rows + (r + 1) * n, rows + (r + 2) * n, rows + (r + 3) * n};
    Lanes s[4] = {};
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      SLM_LOAD(a, x + i);
      for (int k = 0; k < 4; ++k) {
        SLM_LOAD(b, y[k] + i);
        s[k] += a * b;
      }
    }
    for (int k = 0; k < 4; ++k) {
      float tail = 0;
      for (size_t j = i; j < n; ++j) tail += x[j] * y[k][j];
      out[r + static_cast<size_t>(k)] = SLM_SUM(s[k]) + tail;
    }
  }
  for (; r < n_rows; ++r) {
    const float* y = rows + r * n;
    Lanes s{};
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      SLM_LOAD(a, x + i);
      SLM_LOAD(b, y + i);
      s += a * b;
    }
    float tail = 0;
    for (; i < n; ++i) tail += x[i] * y[i];
    out[r] = SLM_SUM(s) + tail;
  }
}

SLM_CLONES void dots(const double* x, const double* rows, size_t n_rows, size_t n, double* out) {
  for (size_t r = 0; r < n_rows; ++r) {
    const double* y = rows + r * n;
    WideLanes s{}, t{};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
      WideLanes a0, a1, b0, b1;
      std::memcpy(&a0, x + i, sizeof a0);
      std::memcpy(&a1, x + i + 4, sizeof a1);
      std::memcpy(&b0, y + i, sizeof b0);
      std::memcpy(&b1, y + i + 4, sizeof b1);
      s += a0 * b0;
      t += a1 * b1;
    }
    s += t;
    double tail = 0;
    for (; i < n; ++i) tail += x[i] * y[i];
    out[r] = ((s[0] + s[2]) + (s[1] + s[3])) + tail;
  }
}

#undef SLM_SUM
#undef SLM_LOAD

}  // namespace slm::embed::simd
