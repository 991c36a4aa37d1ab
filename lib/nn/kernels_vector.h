// Vectors for the kernels' source (kernels_impl.h, which says what may stand here).
//
// Vectors are 16 floats in the compilers' portable vector types. exp follows Cephes' expf (netlib.org/cephes): range
// reduction by ln 2 in two parts, then a polynomial of degree 5; relative error below 2e-7.
#pragma once

#include <stdint.h>
#include <string.h>

namespace slm::nn {
namespace SLM_ISA {

typedef float F __attribute__((vector_size(64)));
typedef int32_t I __attribute__((vector_size(64)));
typedef uint32_t U __attribute__((vector_size(64)));
typedef uint16_t H __attribute__((vector_size(32)));

#define SLM_INLINE static inline __attribute__((always_inline))

constexpr int64_t kLanes = 16;

SLM_INLINE F splat(float x) { return F{} + x; }

SLM_INLINE F load_f(const float* p) {
  F v;
  memcpy(&v, p, sizeof v);
  return v;
}
SLM_INLINE void store_f(float* p, F v) { memcpy(p, &v, sizeof v); }
SLM_INLINE F widen(H h) {
  const U u = __builtin_convertvector(h, U) << 16;
  F v;
  memcpy(&v, &u, sizeof v);
  return v;
}
// Round to nearest even. (A NaN whose 15 low bits are all set would wrap; arithmetic makes none.)
SLM_INLINE H narrow(F v) {
  U u;
  memcpy(&u, &v, sizeof u);
  u = (u + (((u >> 16) & 1u) + 0x7fffu)) >> 16;
  return __builtin_convertvector(u, H);
}

// Typed access: element i onward of a float or bf16 array, 16 lanes or the n < 16 that are left (others 0).
struct Float32 {
  static constexpr int64_t kBytes = 4;
  SLM_INLINE F load(const void* p, int64_t i) { return load_f(static_cast<const float*>(p) + i); }
  SLM_INLINE F load_some(const void* p, int64_t i, int64_t n) {
    F v{};
    memcpy(&v, static_cast<const float*>(p) + i, static_cast<size_t>(n) * 4);
    return v;
  }
  SLM_INLINE void store(void* p, int64_t i, F v) { store_f(static_cast<float*>(p) + i, v); }
  SLM_INLINE void store_some(void* p, int64_t i, int64_t n, F v) {
    memcpy(static_cast<float*>(p) + i, &v, static_cast<size_t>(n) * 4);
  }
};
struct BFloat16 {
  static constexpr int64_t kBytes = 2;
  SLM_INLINE F load(const void* p, int64_t i) {
    H h;
    memcpy(&h, static_cast<const uint16_t*>(p) + i, sizeof h);
    return widen(h);
  }
  SLM_INLINE F load_some(const void* p, int64_t i, int64_t n) {
    H h{};
    memcpy(&h, static_cast<const uint16_t*>(p) + i, static_cast<size_t>(n) * 2);
    return widen(h);
  }
  SLM_INLINE void store(void* p, int64_t i, F v) {
    const H h = narrow(v);
    memcpy(static_cast<uint16_t*>(p) + i, &h, sizeof h);
  }
  SLM_INLINE void store_some(void* p, int64_t i, int64_t n, F v) {
    const H h = narrow(v);
    memcpy(static_cast<uint16_t*>(p) + i, &h, static_cast<size_t>(n) * 2);
  }
};
template <class T>
SLM_INLINE const void* at(const void* p, int64_t i) {
  return static_cast<const char*>(p) + i * T::kBytes;
}
template <class T>
SLM_INLINE void* at(void* p, int64_t i) {
  return static_cast<char*>(p) + i * T::kBytes;
}
template <class T>
SLM_INLINE F load_n(const void* p, int64_t i, int64_t n) {
  return n == kLanes ? T::load(p, i) : T::load_some(p, i, n);
}
template <class T>
SLM_INLINE void store_n(void* p, int64_t i, int64_t n, F v) {
  if (n == kLanes)
    T::store(p, i, v);
  else
    T::store_some(p, i, n, v);
}
SLM_INLINE int64_t lanes_left(int64_t i, int64_t n) { return n - i < kLanes ? n - i : kLanes; }

// Halves are folded onto each other; __builtin_shufflevector is in GCC 12 and Clang.
SLM_INLINE F swap_8(F v) { return __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7); }
SLM_INLINE F swap_4(F v) { return __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11); }
SLM_INLINE F swap_2(F v) { return __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13); }
SLM_INLINE F swap_1(F v) { return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14); }
SLM_INLINE float sum_lanes(F v) {
  v += swap_8(v);
  v += swap_4(v);
  v += swap_2(v);
  v += swap_1(v);
  return v[0];
}
SLM_INLINE F max_f(F a, F b) { return a > b ? a : b; }
SLM_INLINE float max_lanes(F v) {
  v = max_f(v, swap_8(v));
  v = max_f(v, swap_4(v));
  v = max_f(v, swap_2(v));
  v = max_f(v, swap_1(v));
  return v[0];
}
SLM_INLINE F min_f(F a, F b) { return a < b ? a : b; }

SLM_INLINE F exp_f(F x) {
  x = max_f(min_f(x, splat(88.3f)), splat(-87.3f));
  const F magic = splat(12582912.0f);  // 1.5 · 2^23: adding it rounds to an integer
  F n = x * 1.44269504088896341f + magic;
  I bits;
  memcpy(&bits, &n, sizeof bits);
  n -= magic;
  F r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  F p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const I scale = (bits + (127 - 0x4b400000)) << 23;
  F s;
  memcpy(&s, &scale, sizeof s);
  return p * s;
}
// c · tanh(x / c). exp's relative error comes out as an absolute one of the same size of c.
SLM_INLINE F capped(F x, float c) { return c - 2 * c / (exp_f(x * (2 / c)) + 1.0f); }
SLM_INLINE float exp_1(float x) {
  const F v = exp_f(splat(x));
  return v[0];
}
// Natural logarithm of a positive normal number, after Cephes' logf.
SLM_INLINE float log_1(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  int e = static_cast<int>(u >> 23) - 126;
  u = (u & 0x007fffffu) | 0x3f000000u;  // [0.5, 1)
  float m;
  memcpy(&m, &u, 4);
  if (m < 0.707106781186547524f) {
    e -= 1;
    m = m + m - 1.0f;
  } else {
    m -= 1.0f;
  }
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  p = p * m * z;
  const float fe = static_cast<float>(e);
  p += fe * -2.12194440e-4f;
  p -= 0.5f * z;
  return m + p + fe * 0.693359375f;
}

}  // namespace SLM_ISA
}  // namespace slm::nn
