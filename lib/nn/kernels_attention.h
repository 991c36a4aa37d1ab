// The kernels of attention: rotary positions, layouts of matrix products, softmax of tiles (kernels_impl.h says what
// may stand here).
#pragma once

#include "nn/kernels.h"
#include "nn/kernels_vector.h"

namespace slm::nn {
namespace SLM_ISA {

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
void rotate_t(const void* qkv, const float* cos, const float* sin, const int32_t* rows, float q_scale, float sign,
              int64_t n, const HeadShape& s, void* out) {
  const int64_t half = s.rotated / 2, n_turned = s.n_heads + s.n_kv, width = (n_turned + s.n_kv) * s.head_dim;
  for (int64_t t = 0; t < n; ++t) {
    const float* c = cos + rows[t] * half;
    const float* sn = sin + rows[t] * half;
    for (int64_t h = 0; h < n_turned; ++h) {
      const int64_t i = t * width + h * s.head_dim;
      rotate_head<T>(at<T>(qkv, i), at<T>(out, i), c, sn, sign, h < s.n_heads ? q_scale : 1.0f, half, s.head_dim);
    }
    const int64_t v = t * width + n_turned * s.head_dim;
    if (out != qkv) memcpy(at<T>(out, v), at<T>(qkv, v), static_cast<size_t>(s.n_kv * s.head_dim * T::kBytes));
  }
}

// --- layouts of matrix products
// ------------------------------------------------------------------------------------------
// All in units of 32 bits: one float, or two bfloat16.

SLM_INLINE U load_units(const void* p, int64_t n) {
  U u{};
  memcpy(&u, p, static_cast<size_t>(n) * 4);
  return u;
}

// Rows become columns, sixteen by sixteen.
SLM_INLINE void transpose_16(U* r) {
  U t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
  for (int i = 0; i < 16; ++i) {
    if ((i & 2) != 0) continue;
    r[i] = __builtin_shufflevector(t[i], t[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    r[i + 2] = __builtin_shufflevector(t[i], t[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  for (int i = 0; i < 16; ++i) {
    if ((i & 4) != 0) continue;
    t[i] = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
    t[i + 4] = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
  for (int i = 0; i < 8; ++i) {
    r[i] = __builtin_shufflevector(t[i], t[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    r[i + 8] = __builtin_shufflevector(t[i], t[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
}

// The 16 columns from `column` of 16 rows, given by row(i, n) as units, n of them in range, to out [columns, n_out].
template <class Row>
SLM_INLINE void transpose_tile(int64_t column, int64_t n_columns, int64_t first_row, int64_t n_out, uint32_t* out,
                               const Row& row) {
  U r[16];
  const int64_t n = lanes_left(column, n_columns);
  for (int64_t i = 0; i < 16; ++i) r[i] = row(first_row + i, n);
  transpose_16(r);
  for (int64_t i = 0; i < n; ++i) memcpy(out + (column + i) * n_out + first_row, &r[i], sizeof r[i]);
}

template <class T>
void block_columns_t(const void* rows, int64_t stride, int64_t n, int64_t width, void* out) {
  const int64_t units = width * T::kBytes / 4;
  for (int64_t r = 0; r < n; r += 16)
    for (int64_t c = 0; c < units; c += 16)
      transpose_tile(c, units, r, kBlock, static_cast<uint32_t*>(out), [&](int64_t i, int64_t m) {
        return i < n ? load_units(static_cast<const char*>(at<T>(rows, i * stride)) + 4 * c, m) : U{};
      });
}

// Values i, i + 1, … of rows r and r + 1 as units.
SLM_INLINE U load_pairs(const void* rows, int64_t stride, int64_t n, int64_t r, int64_t i, int64_t m) {
  H a{}, b{};
  const auto bytes = static_cast<size_t>(m) * 2;
  if (r < n) memcpy(&a, static_cast<const uint16_t*>(rows) + r * stride + i, bytes);
  if (r + 1 < n) memcpy(&b, static_cast<const uint16_t*>(rows) + (r + 1) * stride + i, bytes);
  return __builtin_convertvector(a, U) | (__builtin_convertvector(b, U) << 16);
}

static void block_rows(const void* rows, int64_t stride, int64_t n, int64_t width, void* out, int64_t n_out, bool bf) {
  auto* to = static_cast<uint32_t*>(out);
  if (!bf) {
    for (int64_t r = 0; r < n; ++r)
      memcpy(to + r * width, static_cast<const float*>(rows) + r * stride, static_cast<size_t>(width) * 4);
    memset(to + n * width, 0, static_cast<size_t>((n_out - n) * width) * 4);
    return;
  }
  for (int64_t r = 0; r < n_out; r += 2)
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t m = lanes_left(i, width);
      const U u = load_pairs(rows, stride, n, r, i, m);
      memcpy(to + r / 2 * width + i, &u, static_cast<size_t>(m) * 4);
    }
}

static void transposed(const void* rows, int64_t n, int64_t width, void* out, int64_t n_out, bool bf) {
  const int64_t units = bf ? n_out / 2 : n_out;  // of an output row
  for (int64_t r = 0; r < units; r += 16)
    for (int64_t c = 0; c < width; c += 16)
      transpose_tile(c, width, r, units, static_cast<uint32_t*>(out), [&](int64_t i, int64_t m) {
        if (bf) return load_pairs(rows, width, n, 2 * i, c, m);
        return i < n ? load_units(static_cast<const float*>(rows) + i * width + c, m) : U{};
      });
}

// --- attention
// ----------------------------------------------------------------------------------------------------------

// The keys of a block that a query sees, [lo, hi).
struct Seen {
  int64_t lo, hi;
};
SLM_INLINE Seen seen_of(const KeyBlock& block, const QueryTile& tile, int64_t token) {
  const int64_t last = tile.positions[token] - block.position + 1;
  const int64_t first = tile.window > 0 ? last - tile.window : 0;
  const int64_t hi = last < block.length ? last : block.length;
  return {first > 0 ? first : 0, hi > 0 ? hi : 0};
}

template <class T>
void tile_softmax_t(float* scores, const KeyBlock* blocks, int64_t n_blocks, const QueryTile& tile, int64_t stride,
                    void* p, float* sum, float* lse) {
  if (tile.cap > 0)
    for (int64_t i = 0; i < n_blocks * stride * kBlock; i += kLanes)
      store_f(scores + i, capped(load_f(scores + i), tile.cap));
  for (int64_t r = 0; r < tile.n_rows(); ++r) {
    const int64_t token = r / tile.group;
    F most = splat(-3.0e38f);
    float rest = -3.0e38f;
    for (int64_t b = 0; b < n_blocks; ++b) {
      const Seen s = seen_of(blocks[b], tile, token);
      const float* row = scores + (b * stride + r) * kBlock;
      int64_t i = s.lo;
      for (; i + kLanes <= s.hi; i += kLanes) most = max_f(most, load_f(row + i));
      for (; i < s.hi; ++i) rest = row[i] > rest ? row[i] : rest;
    }
    const float m0 = max_lanes(most), m = m0 > rest ? m0 : rest;
    F total{};
    for (int64_t b = 0; b < n_blocks; ++b) {
      const Seen s = seen_of(blocks[b], tile, token);
      const float* row = scores + (b * stride + r) * kBlock;
      void* to = at<T>(p, (b * stride + r) * kBlock);
      if (s.lo == 0 && s.hi == kBlock) {
        for (int64_t i = 0; i < kBlock; i += kLanes) {
          const F e = exp_f(load_f(row + i) - m);
          T::store(to, i, e);
          total += e;
        }
        continue;
      }
      memset(to, 0, static_cast<size_t>(kBlock * T::kBytes));
      for (int64_t i = s.lo; i < s.hi; i += kLanes) {
        const int64_t n = lanes_left(i, s.hi);
        F e = exp_f(load_n<Float32>(row, i, n) - m);
        if (n < kLanes)
          for (int64_t j = n; j < kLanes; ++j) e[j] = 0;
        store_n<T>(to, i, n, e);
        total += e;
      }
    }
    sum[r] = sum_lanes(total);
    if (lse != nullptr) lse[r] = m + log_1(sum[r]);
  }
}

// Lanes i onward of rows r and r + 1 of a block, as they lie in pairs of rows; plain for floats.
SLM_INLINE void store_pair(BFloat16, void* out, int64_t r, int64_t i, F a, F b) {
  const U u = __builtin_convertvector(narrow(a), U) | (__builtin_convertvector(narrow(b), U) << 16);
  memcpy(static_cast<uint32_t*>(out) + r / 2 * kBlock + i, &u, sizeof u);
}
SLM_INLINE void store_pair(Float32, void* out, int64_t r, int64_t i, F a, F b) {
  store_f(static_cast<float*>(out) + r * kBlock + i, a);
  store_f(static_cast<float*>(out) + (r + 1) * kBlock + i, b);
}

template <class T>
void tile_softmax_backward_t(const float* scores, const float* dp, const KeyBlock& block, const QueryTile& tile,
                             const float* lse, const float* delta, void* ds, void* p_pairs, void* ds_pairs,
                             int64_t n_paired) {
  const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const int64_t n_rows = tile.n_rows();
  for (int64_t r = 0; r < n_paired; r += 2)
    for (int64_t i = 0; i < kBlock; i += kLanes) {
      F p[2]{}, d[2]{};
      for (int64_t k = 0; k < 2 && r + k < n_rows; ++k) {
        const int64_t row = r + k;
        const Seen s = seen_of(block, tile, row / tile.group);
        if (s.lo < i + kLanes && s.hi > i) {
          F score = load_f(scores + row * kBlock + i), slope = splat(1.0f);
          if (tile.cap > 0) {
            score = capped(score, tile.cap);
            slope -= score * score * (1 / (tile.cap * tile.cap));
          }
          p[k] = exp_f(score - lse[row]);
          d[k] = p[k] * (load_f(dp + row * kBlock + i) - delta[row]) * slope;
          if (s.lo > i || s.hi < i + kLanes) {
            const I at_key = lane + static_cast<int32_t>(i);
            const I in = (at_key >= static_cast<int32_t>(s.lo)) & (at_key < static_cast<int32_t>(s.hi));
            p[k] = in ? p[k] : F{};
            d[k] = in ? d[k] : F{};
          }
        }
        T::store(at<T>(ds, row * kBlock), i, d[k]);
      }
      store_pair(T{}, p_pairs, r, i, p[0], p[1]);
      store_pair(T{}, ds_pairs, r, i, d[0], d[1]);
    }
}

template <class T>
void store_rows_t(const float* rows, const float* factors, int64_t n, int64_t width, void* out, int64_t stride) {
  for (int64_t r = 0; r < n; ++r) {
    const float factor = factors != nullptr ? factors[r] : 1.0f;
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t m = lanes_left(i, width);
      store_n<T>(at<T>(out, r * stride), i, m, load_n<Float32>(rows + r * width, i, m) * factor);
    }
  }
}

template <class T>
void row_dots_t(const void* a, const void* b, int64_t n, int64_t width, float* out) {
  for (int64_t r = 0; r < n; ++r) {
    F sum{};
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t m = lanes_left(i, width);
      sum += load_n<T>(at<T>(a, r * width), i, m) * load_n<T>(at<T>(b, r * width), i, m);
    }
    out[r] = sum_lanes(sum);
  }
}

}  // namespace SLM_ISA
}  // namespace slm::nn
