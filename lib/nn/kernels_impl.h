// The kernels' source, included once per instruction set with SLM_ISA defined. Only C headers and static functions
// here: these files are compiled with wider instructions, and an inline function shared with other files could replace
// theirs.
//
// Vectors are 16 floats in the compilers' portable vector types. exp follows Cephes' expf (netlib.org/cephes): range
// reduction by ln 2 in two parts, then a polynomial of degree 5; relative error below 2e-7.
#include <stdint.h>
#include <string.h>

#include "nn/kernels.h"

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

// --- norm
// --------------------------------------------------------------------------------------------------------------

template <class T>
void add_norm_t(const float* x, const void* y, const float* w, float eps, int64_t n_rows, int64_t width, float* out,
                void* h, float* inv) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const float* xr = x + r * width;
    float* o = out != nullptr ? out + r * width : nullptr;
    const void* yr = y != nullptr ? at<T>(y, r * width) : nullptr;
    F sum{};
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t n = lanes_left(i, width);
      F v = load_n<Float32>(xr, i, n);
      if (yr != nullptr) v += load_n<T>(yr, i, n);
      if (o != nullptr) store_n<Float32>(o, i, n, v);
      sum += v * v;
    }
    const float rms = __builtin_sqrtf(sum_lanes(sum) / static_cast<float>(width) + eps);
    const float scale = 1.0f / rms;
    if (inv != nullptr) inv[r] = scale;
    const float* source = o != nullptr ? o : xr;
    void* hr = at<T>(h, r * width);
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t n = lanes_left(i, width);
      store_n<T>(hr, i, n, load_n<Float32>(source, i, n) * scale * load_n<Float32>(w, i, n));
    }
  }
}

template <class T>
void add_norm_backward_t(const float* d_out, const void* dh, const float* out, const float* w, const float* inv,
                         int64_t n_rows, int64_t width, float* dx, void* dy, float* dw) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const float* o = out + r * width;
    const void* g = at<T>(dh, r * width);
    const float scale = inv[r];
    F dot{};
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t n = lanes_left(i, width);
      const F gi = load_n<T>(g, i, n), oi = load_n<Float32>(o, i, n);
      dot += gi * load_n<Float32>(w, i, n) * oi;
      if (dw != nullptr) store_n<Float32>(dw, i, n, load_n<Float32>(dw, i, n) + gi * oi * scale);
    }
    const float c = sum_lanes(dot) * scale * scale * scale / static_cast<float>(width);
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t n = lanes_left(i, width);
      F d = load_n<T>(g, i, n) * load_n<Float32>(w, i, n) * scale - load_n<Float32>(o, i, n) * c;
      if (d_out != nullptr) d += load_n<Float32>(d_out + r * width, i, n);
      store_n<Float32>(dx + r * width, i, n, d);
      if (dy != nullptr) store_n<T>(at<T>(dy, r * width), i, n, d);
    }
  }
}

// --- SwiGLU
// ------------------------------------------------------------------------------------------------------------

template <class T>
void swiglu_t(const void* gate_up, int64_t n_rows, int64_t width, void* out) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const void* g = at<T>(gate_up, r * 2 * width);
    const void* u = at<T>(gate_up, r * 2 * width + width);
    void* o = at<T>(out, r * width);
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t n = lanes_left(i, width);
      const F x = load_n<T>(g, i, n);
      store_n<T>(o, i, n, x / (1.0f + exp_f(-x)) * load_n<T>(u, i, n));
    }
  }
}

template <class T>
void swiglu_backward_t(const void* gate_up, const void* d_out, int64_t n_rows, int64_t width, void* d_gate_up) {
  for (int64_t r = 0; r < n_rows; ++r) {
    const void* g = at<T>(gate_up, r * 2 * width);
    const void* u = at<T>(gate_up, r * 2 * width + width);
    const void* d = at<T>(d_out, r * width);
    void* dg = at<T>(d_gate_up, r * 2 * width);
    void* du = at<T>(d_gate_up, r * 2 * width + width);
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t n = lanes_left(i, width);
      const F x = load_n<T>(g, i, n), up = load_n<T>(u, i, n), dd = load_n<T>(d, i, n);
      const F s = 1.0f / (1.0f + exp_f(-x));
      store_n<T>(du, i, n, dd * x * s);
      store_n<T>(dg, i, n, dd * up * s * (1.0f + x * (1.0f - s)));
    }
  }
}

// --- rotary
// ------------------------------------------------------------------------------------------------------------

// One head's vector of one token. The halves (i, i + D/2) are a pair; sign −1 undoes the rotation.
template <class T>
SLM_INLINE void rotate_head(const void* in, void* out, const float* c, const float* s, float sign, float scale,
                            int64_t half, int64_t head_dim) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t n = lanes_left(i, half);
    const F a = load_n<T>(in, i, n), b = load_n<T>(in, i + half, n);
    const F ci = load_n<Float32>(c, i, n) * scale, si = load_n<Float32>(s, i, n) * (sign * scale);
    store_n<T>(out, i, n, a * ci - b * si);
    store_n<T>(out, i + half, n, b * ci + a * si);
  }
  for (int64_t i = 2 * half; i < head_dim; i += kLanes) {
    const int64_t n = lanes_left(i, head_dim);
    store_n<T>(out, i, n, load_n<T>(in, i, n) * scale);
  }
}

template <class T>
void split_rotate_t(const void* qkv, const float* cos, const float* sin, const int32_t* positions, float scale,
                    HeadShape s, void* q, void* k, void* v) {
  const int64_t half = s.rotated / 2, row = (s.n_heads + 2 * s.n_kv) * s.head_dim;
  for (int64_t t = 0; t < s.length; ++t) {
    const float* c = cos + positions[t] * half;
    const float* sn = sin + positions[t] * half;
    for (int64_t h = 0; h < s.n_heads; ++h)
      rotate_head<T>(at<T>(qkv, t * row + h * s.head_dim), at<T>(q, (h * s.length + t) * s.head_dim), c, sn, 1.0f,
                     scale, half, s.head_dim);
    for (int64_t h = 0; h < s.n_kv; ++h) {
      const int64_t from = t * row + (s.n_heads + h) * s.head_dim, to = (h * s.length + t) * s.head_dim;
      rotate_head<T>(at<T>(qkv, from), at<T>(k, to), c, sn, 1.0f, 1.0f, half, s.head_dim);
      memcpy(at<T>(v, to), at<T>(qkv, from + s.n_kv * s.head_dim), static_cast<size_t>(s.head_dim * T::kBytes));
    }
  }
}

template <class T>
void merge_rotate_t(const void* dq, const void* dk, const void* dv, const float* cos, const float* sin,
                    const int32_t* positions, float scale, HeadShape s, void* dqkv) {
  const int64_t half = s.rotated / 2, row = (s.n_heads + 2 * s.n_kv) * s.head_dim;
  for (int64_t t = 0; t < s.length; ++t) {
    const float* c = cos + positions[t] * half;
    const float* sn = sin + positions[t] * half;
    for (int64_t h = 0; h < s.n_heads; ++h)
      rotate_head<T>(at<T>(dq, (h * s.length + t) * s.head_dim), at<T>(dqkv, t * row + h * s.head_dim), c, sn, -1.0f,
                     scale, half, s.head_dim);
    for (int64_t h = 0; h < s.n_kv; ++h) {
      const int64_t to = t * row + (s.n_heads + h) * s.head_dim, from = (h * s.length + t) * s.head_dim;
      rotate_head<T>(at<T>(dk, from), at<T>(dqkv, to), c, sn, -1.0f, 1.0f, half, s.head_dim);
      memcpy(at<T>(dqkv, to + s.n_kv * s.head_dim), at<T>(dv, from), static_cast<size_t>(s.head_dim * T::kBytes));
    }
  }
}

// --- softmax and loss
// --------------------------------------------------------------------------------------------------

template <class T>
SLM_INLINE float row_max(const void* row, int64_t lo, int64_t hi) {
  F m = splat(-3.0e38f);
  int64_t i = lo;
  for (; i + kLanes <= hi; i += kLanes) m = max_f(m, T::load(row, i));
  float best = max_lanes(m);
  if (i < hi) {
    const F v = T::load_some(row, i, hi - i);
    for (int64_t j = 0; j < hi - i; ++j) best = v[j] > best ? v[j] : best;
  }
  return best;
}

template <class T>
SLM_INLINE float row_exp_sum(const void* row, int64_t lo, int64_t hi, float shift) {
  F sum{};
  int64_t i = lo;
  for (; i + kLanes <= hi; i += kLanes) sum += exp_f(T::load(row, i) - shift);
  float total = sum_lanes(sum);
  if (i < hi) {
    const F e = exp_f(T::load_some(row, i, hi - i) - shift);
    for (int64_t j = 0; j < hi - i; ++j) total += e[j];
  }
  return total;
}

// The one or two ranges of a row, empty ones included.
struct Ranges {
  int64_t from[2], to[2];
};
SLM_INLINE Ranges ranges_of(const SeenColumns& seen, int64_t row) {
  const bool prefix = seen.prefix_lo != nullptr;
  return {{prefix ? seen.prefix_lo[row] : 0, seen.lo[row]}, {prefix ? seen.prefix_hi[row] : 0, seen.hi[row]}};
}
template <class T>
SLM_INLINE void zero_outside(void* row, const Ranges& r, int64_t width) {
  memset(row, 0, static_cast<size_t>(r.from[0] * T::kBytes));
  memset(at<T>(row, r.to[0]), 0, static_cast<size_t>((r.from[1] - r.to[0]) * T::kBytes));
  memset(at<T>(row, r.to[1]), 0, static_cast<size_t>((width - r.to[1]) * T::kBytes));
}

template <class T>
void softmax_t(void* scores, const SeenColumns& seen, int64_t n_rows, int64_t width) {
  for (int64_t i = 0; i < n_rows; ++i) {
    void* row = at<T>(scores, i * width);
    const Ranges r = ranges_of(seen, i);
    zero_outside<T>(row, r, width);
    const float m0 = row_max<T>(row, r.from[0], r.to[0]), m1 = row_max<T>(row, r.from[1], r.to[1]);
    const float m = m0 > m1 ? m0 : m1;
    const float scale =
        1.0f / (row_exp_sum<T>(row, r.from[0], r.to[0], m) + row_exp_sum<T>(row, r.from[1], r.to[1], m));
    for (int part = 0; part < 2; ++part)
      for (int64_t j = r.from[part]; j < r.to[part]; j += kLanes) {
        const int64_t n = lanes_left(j, r.to[part]);
        store_n<T>(row, j, n, exp_f(load_n<T>(row, j, n) - m) * scale);
      }
  }
}

template <class T>
void softmax_backward_t(const void* p, void* dp, const SeenColumns& seen, int64_t n_rows, int64_t width) {
  for (int64_t i = 0; i < n_rows; ++i) {
    const void* pr = at<T>(p, i * width);
    void* dr = at<T>(dp, i * width);
    const Ranges r = ranges_of(seen, i);
    zero_outside<T>(dr, r, width);
    F dot{};
    for (int part = 0; part < 2; ++part)
      for (int64_t j = r.from[part]; j < r.to[part]; j += kLanes) {
        const int64_t n = lanes_left(j, r.to[part]);
        dot += load_n<T>(pr, j, n) * load_n<T>(dr, j, n);
      }
    const float d = sum_lanes(dot);
    for (int part = 0; part < 2; ++part)
      for (int64_t j = r.from[part]; j < r.to[part]; j += kLanes) {
        const int64_t n = lanes_left(j, r.to[part]);
        store_n<T>(dr, j, n, load_n<T>(pr, j, n) * (load_n<T>(dr, j, n) - d));
      }
  }
}

template <class T>
double cross_entropy_t(void* logits, const int32_t* targets, const float* weights, int64_t n_rows, int64_t vocab,
                       int64_t* hits) {
  double loss = 0;
  for (int64_t r = 0; r < n_rows; ++r) {
    void* row = at<T>(logits, r * vocab);
    const float weight = weights[r];
    const float m = row_max<T>(row, 0, vocab), total = row_exp_sum<T>(row, 0, vocab, m);
    const float target = T::load_some(row, targets[r], 1)[0];
    if (weight != 0.0f) {
      loss += static_cast<double>(weight) * (static_cast<double>(log_1(total)) + m - target);
      if (target >= m) ++*hits;
    }
    const float scale = weight / total;
    for (int64_t i = 0; i < vocab; i += kLanes) {
      const int64_t n = lanes_left(i, vocab);
      store_n<T>(row, i, n, exp_f(load_n<T>(row, i, n) - m) * scale);
    }
    const F at_target = T::load_some(row, targets[r], 1) - weight;
    T::store_some(row, targets[r], 1, at_target);
  }
  return loss;
}

// --- decoding
// ----------------------------------------------------------------------------------------------------------

// Exponentials of s[0, length) after subtracting their maximum, in place; returns one over their sum.
SLM_INLINE float exp_in_place(float* s, int64_t length, float m) {
  F sum{};
  for (int64_t t = 0; t < length; t += kLanes) {
    const int64_t n = lanes_left(t, length);
    F e = exp_f(load_n<Float32>(s, t, n) - m);
    if (n < kLanes)
      for (int64_t j = n; j < kLanes; ++j) e[j] = 0;
    store_n<Float32>(s, t, n, e);
    sum += e;
  }
  return 1.0f / sum_lanes(sum);
}

// One head whose width is C vectors: query and sums stay in registers.
template <class T, int C>
void attend_head(const void* q, const void* keys, const void* values, int64_t length, float* s, void* out) {
  constexpr int64_t kWidth = C * kLanes;
  F query[C], acc[C];
  for (int c = 0; c < C; ++c) {
    query[c] = T::load(q, c * kLanes);
    acc[c] = F{};
  }
  float m = -3.0e38f;
  for (int64_t t = 0; t < length; ++t) {
    F dot = query[0] * T::load(keys, t * kWidth);
    for (int c = 1; c < C; ++c) dot += query[c] * T::load(keys, t * kWidth + c * kLanes);
    s[t] = sum_lanes(dot);
    m = s[t] > m ? s[t] : m;
  }
  const float scale = exp_in_place(s, length, m);
  for (int64_t t = 0; t < length; ++t)
    for (int c = 0; c < C; ++c) acc[c] += T::load(values, t * kWidth + c * kLanes) * s[t];
  for (int c = 0; c < C; ++c) T::store(out, c * kLanes, acc[c] * scale);
}

template <class T>
void attend_head_any(const void* q, const void* keys, const void* values, int64_t length, int64_t head_dim, float* s,
                     void* out) {
  float m = -3.0e38f;
  for (int64_t t = 0; t < length; ++t) {
    F dot{};
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      const int64_t n = lanes_left(i, head_dim);
      dot += load_n<T>(q, i, n) * load_n<T>(at<T>(keys, t * head_dim), i, n);
    }
    s[t] = sum_lanes(dot);
    m = s[t] > m ? s[t] : m;
  }
  const float scale = exp_in_place(s, length, m);
  for (int64_t i = 0; i < head_dim; i += kLanes) {
    const int64_t n = lanes_left(i, head_dim);
    F acc{};
    for (int64_t t = 0; t < length; ++t) acc += load_n<T>(at<T>(values, t * head_dim), i, n) * s[t];
    store_n<T>(out, i, n, acc * scale);
  }
}

template <class T>
void attend_one_t(const void* q, const void* keys, const void* values, int64_t group, int64_t length, int64_t head_dim,
                  float* scratch, void* out) {
  for (int64_t g = 0; g < group; ++g) {
    const void* qg = at<T>(q, g * head_dim);
    void* og = at<T>(out, g * head_dim);
    switch (head_dim) {
      case 32:
        attend_head<T, 2>(qg, keys, values, length, scratch, og);
        break;
      case 64:
        attend_head<T, 4>(qg, keys, values, length, scratch, og);
        break;
      case 128:
        attend_head<T, 8>(qg, keys, values, length, scratch, og);
        break;
      default:
        attend_head_any<T>(qg, keys, values, length, head_dim, scratch, og);
    }
  }
}

static void adamw(float* w, const float* grad, float* m, float* v, int64_t n, const AdamStep& s) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = lanes_left(i, n);
    const F g = load_n<Float32>(grad, i, k) * s.grad_scale;
    const F mi = load_n<Float32>(m, i, k) * s.beta1 + g * (1.0f - s.beta1);
    const F vi = load_n<Float32>(v, i, k) * s.beta2 + g * g * (1.0f - s.beta2);
    F root;
    for (int j = 0; j < 16; ++j) root[j] = __builtin_sqrtf(vi[j]);
    const F wi = load_n<Float32>(w, i, k);
    store_n<Float32>(m, i, k, mi);
    store_n<Float32>(v, i, k, vi);
    store_n<Float32>(w, i, k, wi - wi * s.decay - mi * s.step_size / (root * s.inv_sqrt_bias2 + s.eps));
  }
}

// --- by element type
// ---------------------------------------------------------------------------------------------------

static void add_norm(const float* x, const void* y, const float* w, float eps, int64_t n_rows, int64_t width,
                     float* out, void* h, float* inv, bool bf) {
  bf ? add_norm_t<BFloat16>(x, y, w, eps, n_rows, width, out, h, inv)
     : add_norm_t<Float32>(x, y, w, eps, n_rows, width, out, h, inv);
}
static void add_norm_backward(const float* d_out, const void* dh, const float* out, const float* w, const float* inv,
                              int64_t n_rows, int64_t width, float* dx, void* dy, float* dw, bool bf) {
  bf ? add_norm_backward_t<BFloat16>(d_out, dh, out, w, inv, n_rows, width, dx, dy, dw)
     : add_norm_backward_t<Float32>(d_out, dh, out, w, inv, n_rows, width, dx, dy, dw);
}
static void swiglu(const void* gate_up, int64_t n_rows, int64_t width, void* out, bool bf) {
  bf ? swiglu_t<BFloat16>(gate_up, n_rows, width, out) : swiglu_t<Float32>(gate_up, n_rows, width, out);
}
static void swiglu_backward(const void* gate_up, const void* d_out, int64_t n_rows, int64_t width, void* d, bool bf) {
  bf ? swiglu_backward_t<BFloat16>(gate_up, d_out, n_rows, width, d)
     : swiglu_backward_t<Float32>(gate_up, d_out, n_rows, width, d);
}
static void split_rotate(const void* qkv, const float* cos, const float* sin, const int32_t* positions, float scale,
                         HeadShape shape, void* q, void* k, void* v, bool bf) {
  bf ? split_rotate_t<BFloat16>(qkv, cos, sin, positions, scale, shape, q, k, v)
     : split_rotate_t<Float32>(qkv, cos, sin, positions, scale, shape, q, k, v);
}
static void merge_rotate(const void* dq, const void* dk, const void* dv, const float* cos, const float* sin,
                         const int32_t* positions, float scale, HeadShape shape, void* dqkv, bool bf) {
  bf ? merge_rotate_t<BFloat16>(dq, dk, dv, cos, sin, positions, scale, shape, dqkv)
     : merge_rotate_t<Float32>(dq, dk, dv, cos, sin, positions, scale, shape, dqkv);
}
static void softmax(void* scores, const SeenColumns& seen, int64_t n_rows, int64_t width, bool bf) {
  bf ? softmax_t<BFloat16>(scores, seen, n_rows, width) : softmax_t<Float32>(scores, seen, n_rows, width);
}
static void softmax_backward(const void* p, void* dp, const SeenColumns& seen, int64_t n_rows, int64_t width, bool bf) {
  bf ? softmax_backward_t<BFloat16>(p, dp, seen, n_rows, width)
     : softmax_backward_t<Float32>(p, dp, seen, n_rows, width);
}
static double cross_entropy(void* logits, const int32_t* targets, const float* weights, int64_t n_rows, int64_t vocab,
                            int64_t* hits, bool bf) {
  return bf ? cross_entropy_t<BFloat16>(logits, targets, weights, n_rows, vocab, hits)
            : cross_entropy_t<Float32>(logits, targets, weights, n_rows, vocab, hits);
}
static void attend_one(const void* q, const void* keys, const void* values, int64_t group, int64_t length,
                       int64_t head_dim, float* scratch, void* out, bool bf) {
  bf ? attend_one_t<BFloat16>(q, keys, values, group, length, head_dim, scratch, out)
     : attend_one_t<Float32>(q, keys, values, group, length, head_dim, scratch, out);
}

}  // namespace SLM_ISA

#define SLM_STRING_INNER(x) #x
#define SLM_STRING(x) SLM_STRING_INNER(x)
extern const Kernels SLM_TABLE;
const Kernels SLM_TABLE = {SLM_STRING(SLM_ISA),    SLM_ISA::add_norm,        SLM_ISA::add_norm_backward,
                           SLM_ISA::swiglu,        SLM_ISA::swiglu_backward, SLM_ISA::split_rotate,
                           SLM_ISA::merge_rotate,  SLM_ISA::softmax,         SLM_ISA::softmax_backward,
                           SLM_ISA::cross_entropy, SLM_ISA::attend_one,      SLM_ISA::adamw};

}  // namespace slm::nn
