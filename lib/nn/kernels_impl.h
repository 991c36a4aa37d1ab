// The kernels' source, included once per instruction set with SLM_ISA defined. Only C headers and static functions
// here: these files are compiled with wider instructions, and an inline function shared with other files could replace
// theirs.
#include "nn/kernels.h"
#include "nn/kernels_attention.h"
#include "nn/kernels_vector.h"

namespace slm::nn {
namespace SLM_ISA {

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

// --- loss
// ---------------------------------------------------------------------------------------------------------------

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

SLM_INLINE float capped_1(float x, float cap) { return cap > 0 ? capped(splat(x), cap)[0] : x; }

// One head whose width is C vectors: query and sums stay in registers.
template <class T, int C>
void attend_head(const void* q, const void* keys, const void* values, int64_t length, float cap, float* s, void* out) {
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
    s[t] = capped_1(sum_lanes(dot), cap);
    m = s[t] > m ? s[t] : m;
  }
  const float scale = exp_in_place(s, length, m);
  for (int64_t t = 0; t < length; ++t)
    for (int c = 0; c < C; ++c) acc[c] += T::load(values, t * kWidth + c * kLanes) * s[t];
  for (int c = 0; c < C; ++c) T::store(out, c * kLanes, acc[c] * scale);
}

template <class T>
void attend_head_any(const void* q, const void* keys, const void* values, int64_t length, int64_t head_dim, float cap,
                     float* s, void* out) {
  float m = -3.0e38f;
  for (int64_t t = 0; t < length; ++t) {
    F dot{};
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      const int64_t n = lanes_left(i, head_dim);
      dot += load_n<T>(q, i, n) * load_n<T>(at<T>(keys, t * head_dim), i, n);
    }
    s[t] = capped_1(sum_lanes(dot), cap);
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
                  float cap, float* scratch, void* out) {
  for (int64_t g = 0; g < group; ++g) {
    const void* qg = at<T>(q, g * head_dim);
    void* og = at<T>(out, g * head_dim);
    switch (head_dim) {
      case 32:
        attend_head<T, 2>(qg, keys, values, length, cap, scratch, og);
        break;
      case 64:
        attend_head<T, 4>(qg, keys, values, length, cap, scratch, og);
        break;
      case 128:
        attend_head<T, 8>(qg, keys, values, length, cap, scratch, og);
        break;
      default:
        attend_head_any<T>(qg, keys, values, length, head_dim, cap, scratch, og);
    }
  }
}

// Lane i = Σ of the lanes of v[i].
SLM_INLINE F sums_of_16(F* v) {
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) {
      const F a = v[2 * i], b = v[2 * i + 1];
      v[i] = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
             __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    }
  return v[0];
}

// Eight rows of x, or the M that are left, times two of w.
constexpr int64_t kFewRows = 8;
template <int M>
F few_by_two(const float* x, const float* w0, const float* w1, int64_t k) {
  F s[2 * kFewRows]{};
  for (int64_t i = 0; i < k; i += kLanes) {
    const int64_t n = lanes_left(i, k);
    const F a = load_n<Float32>(w0, i, n), b = load_n<Float32>(w1, i, n);
    for (int r = 0; r < M; ++r) {
      const F in = load_n<Float32>(x, r * k + i, n);
      s[r] += in * a;
      s[kFewRows + r] += in * b;
    }
  }
  return sums_of_16(s);
}

static void few_rows(const float* x, int64_t m, const float* w, int64_t n, int64_t k, float* out, int64_t n_out) {
  using ByTwo = F (*)(const float*, const float*, const float*, int64_t);
  static constexpr ByTwo kByTwo[] = {few_by_two<1>, few_by_two<2>, few_by_two<3>, few_by_two<4>,
                                     few_by_two<5>, few_by_two<6>, few_by_two<7>, few_by_two<8>};
  for (int64_t j = 0; j < n; j += 2) {
    const int64_t last = j + 1 < n ? j + 1 : j;
    for (int64_t r = 0; r < m; r += kFewRows) {
      const int64_t here = m - r < kFewRows ? m - r : kFewRows;
      const F sums = kByTwo[here - 1](x + r * k, w + j * k, w + last * k, k);
      for (int64_t i = 0; i < here; ++i) {
        out[(r + i) * n_out + j] = sums[i];
        out[(r + i) * n_out + last] = sums[last == j ? i : kFewRows + i];
      }
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
static void rotate(const void* qkv, const float* cos, const float* sin, const int32_t* rows, float q_scale, float sign,
                   int64_t n, const HeadShape& shape, void* out, bool bf) {
  bf ? rotate_t<BFloat16>(qkv, cos, sin, rows, q_scale, sign, n, shape, out)
     : rotate_t<Float32>(qkv, cos, sin, rows, q_scale, sign, n, shape, out);
}
static void block_columns(const void* rows, int64_t stride, int64_t n, int64_t width, void* out, bool bf) {
  bf ? block_columns_t<BFloat16>(rows, stride, n, width, out) : block_columns_t<Float32>(rows, stride, n, width, out);
}
static void tile_softmax(float* scores, const KeyBlock* blocks, int64_t n_blocks, const QueryTile& tile, int64_t stride,
                         void* p, float* sum, float* lse, bool bf) {
  bf ? tile_softmax_t<BFloat16>(scores, blocks, n_blocks, tile, stride, p, sum, lse)
     : tile_softmax_t<Float32>(scores, blocks, n_blocks, tile, stride, p, sum, lse);
}
static void tile_softmax_backward(const float* scores, const float* dp, const KeyBlock& block, const QueryTile& tile,
                                  const float* lse, const float* delta, void* ds, void* p_pairs, void* ds_pairs,
                                  int64_t n_paired, bool bf) {
  bf ? tile_softmax_backward_t<BFloat16>(scores, dp, block, tile, lse, delta, ds, p_pairs, ds_pairs, n_paired)
     : tile_softmax_backward_t<Float32>(scores, dp, block, tile, lse, delta, ds, p_pairs, ds_pairs, n_paired);
}
static void store_rows(const float* rows, const float* factors, int64_t n, int64_t width, void* out, int64_t stride,
                       bool bf) {
  bf ? store_rows_t<BFloat16>(rows, factors, n, width, out, stride)
     : store_rows_t<Float32>(rows, factors, n, width, out, stride);
}
static void row_dots(const void* a, const void* b, int64_t n, int64_t width, float* out, bool bf) {
  bf ? row_dots_t<BFloat16>(a, b, n, width, out) : row_dots_t<Float32>(a, b, n, width, out);
}
static double cross_entropy(void* logits, const int32_t* targets, const float* weights, int64_t n_rows, int64_t vocab,
                            int64_t* hits, bool bf) {
  return bf ? cross_entropy_t<BFloat16>(logits, targets, weights, n_rows, vocab, hits)
            : cross_entropy_t<Float32>(logits, targets, weights, n_rows, vocab, hits);
}
static void attend_one(const void* q, const void* keys, const void* values, int64_t group, int64_t length,
                       int64_t head_dim, float cap, float* scratch, void* out, bool bf) {
  bf ? attend_one_t<BFloat16>(q, keys, values, group, length, head_dim, cap, scratch, out)
     : attend_one_t<Float32>(q, keys, values, group, length, head_dim, cap, scratch, out);
}

}  // namespace SLM_ISA

#define SLM_STRING_INNER(x) #x
#define SLM_STRING(x) SLM_STRING_INNER(x)
extern const Kernels SLM_TABLE;
const Kernels SLM_TABLE = {SLM_STRING(SLM_ISA),
                           SLM_ISA::add_norm,
                           SLM_ISA::add_norm_backward,
                           SLM_ISA::swiglu,
                           SLM_ISA::swiglu_backward,
                           SLM_ISA::rotate,
                           SLM_ISA::block_columns,
                           SLM_ISA::block_rows,
                           SLM_ISA::transposed,
                           SLM_ISA::tile_softmax,
                           SLM_ISA::tile_softmax_backward,
                           SLM_ISA::store_rows,
                           SLM_ISA::row_dots,
                           SLM_ISA::cross_entropy,
                           SLM_ISA::attend_one,
                           SLM_ISA::few_rows,
                           SLM_ISA::adamw};

}  // namespace slm::nn
