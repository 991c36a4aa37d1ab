// Fused elementwise kernels of the decoder for CPUs, in one source compiled for several instruction sets and chosen at
// run time. No torch here: plain pointers over a range of rows, so that a caller splits the rows among threads.
//
// Shapes: rows are contiguous. `bf` says that pointers of type `void*` hold bfloat16 (else float32).
// Threads: every function may run at once on disjoint rows.
#pragma once

#include <cstdint>

namespace slm::nn {

struct HeadShape {
  int64_t n_heads;   // query heads
  int64_t n_kv;      // key/value heads; n_heads = n_kv · group
  int64_t head_dim;  // D, even
  int64_t rotated;   // R, even: leading values of a head that turn with the position
};

// Attention goes by blocks of at most kBlock keys: consecutive tokens whose positions follow each other.
inline constexpr int64_t kBlock = 64;
struct KeyBlock {
  int32_t token, length, position;  // the first token, how many, the first one's position
};
// Queries of consecutive tokens, `group` rows a token. A query at position p sees keys at (p − window, p]; window 0:
// all up to p. Scores are capped: cap · tanh(score / cap); cap 0: not.
struct QueryTile {
  const int32_t* positions;
  int64_t n_tokens, group, window;
  float cap;
  int64_t n_rows() const { return n_tokens * group; }
};

struct Kernels {
  const char* name;

  // out = x + y (y may be null), h = out · w / rms(out); inv[i] = 1/rms. out may be x, or null when y is null.
  void (*add_norm)(const float* x, const void* y, const float* w, float eps, int64_t n_rows, int64_t width, float* out,
                   void* h, float* inv, bool bf);
  // dx = d_out (may be null) + the norm's gradient of dh; dy = dx as y's type (may be null); dw += (may be null).
  void (*add_norm_backward)(const float* d_out, const void* dh, const float* out, const float* w, const float* inv,
                            int64_t n_rows, int64_t width, float* dx, void* dy, float* dw, bool bf);

  // gate_up is [n, 2·width], gate first: out = silu(gate) · up.
  void (*swiglu)(const void* gate_up, int64_t n_rows, int64_t width, void* out, bool bf);
  void (*swiglu_backward)(const void* gate_up, const void* d_out, int64_t n_rows, int64_t width, void* d_gate_up,
                          bool bf);

  // qkv [n, (H + 2K)·D]: turns queries and keys by the angles in row rows[i] of cos and sin [positions, R/2] (backwards
  // with sign −1) and multiplies queries by q_scale. out may be qkv.
  void (*rotate)(const void* qkv, const float* cos, const float* sin, const int32_t* rows, float q_scale, float sign,
                 int64_t n, const HeadShape& shape, void* out, bool bf);

  // For products whose right side lies in pairs of rows where the type is bfloat16 (and plainly in float32):
  // n ≤ kBlock rows of `width` values, `stride` values apart, → their transpose [width, kBlock], paired along width.
  void (*block_columns)(const void* rows, int64_t stride, int64_t n, int64_t width, void* out, bool bf);
  // n rows → [n_out, width], paired along the rows; zeros after n. n_out even.
  void (*block_rows)(const void* rows, int64_t stride, int64_t n, int64_t width, void* out, int64_t n_out, bool bf);
  // rows [n, width] → their transpose [width, n_out], plain; zeros after n. n_out a multiple of 32.
  void (*transposed)(const void* rows, int64_t n, int64_t width, void* out, int64_t n_out, bool bf);

  // Scores of a tile by blocks [n_blocks, stride rows, kBlock], which are capped in place → exp(score − the row's
  // largest), zero where not seen; sum[row]; lse[row] = log Σ exp(score), may be null.
  void (*tile_softmax)(float* scores, const KeyBlock* blocks, int64_t n_blocks, const QueryTile& tile, int64_t stride,
                       void* p, float* sum, float* lse, bool bf);
  // One block [rows, kBlock]: p = exp(capped score − lse), ds = p · (dp − delta) · slope of the cap. ds plain; p and ds
  // also in pairs of rows, up to the even n_paired rows, zeros after the last.
  void (*tile_softmax_backward)(const float* scores, const float* dp, const KeyBlock& block, const QueryTile& tile,
                                const float* lse, const float* delta, void* ds, void* p_pairs, void* ds_pairs,
                                int64_t n_paired, bool bf);
  // rows of floats, each times its factor (null: 1), → out, `stride` values apart.
  void (*store_rows)(const float* rows, const float* factors, int64_t n, int64_t width, void* out, int64_t stride,
                     bool bf);
  // Σ a · b of each of n rows of `width` values.
  void (*row_dots)(const void* a, const void* b, int64_t n, int64_t width, float* out, bool bf);

  // logits [n, vocab] in place become weight · (softmax − one-hot); returns Σ weight · nll. hits += Σ (argmax ==
  // target) over rows whose weight isn't 0.
  double (*cross_entropy)(void* logits, const int32_t* targets, const float* weights, int64_t n_rows, int64_t vocab,
                          int64_t* hits, bool bf);

  // One query a head against `length` cached keys and values: q [G, D] scaled; keys, values [length, D] → out [G, D].
  // cap as in QueryTile; scratch: length floats.
  void (*attend_one)(const void* q, const void* keys, const void* values, int64_t group, int64_t length,
                     int64_t head_dim, float cap, float* scratch, void* out, bool bf);

  // For few rows x [m, k], all in float32: out [m, n_out] at columns [0, n) = x · wᵀ, the weights w [n, k] read once,
  // as they lie.
  void (*few_rows)(const float* x, int64_t m, const float* w, int64_t n, int64_t k, float* out, int64_t n_out);

  // Decoupled-decay Adam on n values; step_size and decay are already multiplied by the learning rate.
  void (*adamw)(float* w, const float* grad, float* m, float* v, int64_t n, const struct AdamStep& step);
};

struct AdamStep {
  float grad_scale;  // clipping and averaging
  float beta1, beta2, eps;
  float step_size;       // lr / (1 − β1^t)
  float inv_sqrt_bias2;  // 1 / sqrt(1 − β2^t)
  float decay;           // lr · weight decay
};

// The best for this CPU. SLMCONV_ISA=base|avx2|avx512 lowers the choice (for tests).
const Kernels& kernels();
// One by name, or null where this CPU or build hasn't it.
const Kernels* kernels_named(const char* name);

}  // namespace slm::nn
