// Fused elementwise kernels of the decoder for CPUs, in one source compiled for several instruction sets and chosen at
// run time. No torch here: plain pointers over a range of rows, so that a caller splits the rows among threads.
//
// Shapes: rows are contiguous. `bf` says that pointers of type `void*` hold bfloat16 (else float32).
// Threads: every function may run at once on disjoint rows.
#pragma once

#include <cstdint>

namespace slm::nn {

struct HeadShape {
  int64_t length;    // T: tokens of a row of the batch
  int64_t n_heads;   // query heads
  int64_t n_kv;      // key/value heads; n_heads = n_kv · group
  int64_t head_dim;  // D
  int64_t rotated;   // R, even: leading values of a head that turn with the position
};

// Columns that each row of a softmax covers: [prefix_lo, prefix_hi) and [lo, hi), in this order, not overlapping. The
// first two arrays may be null: the second range alone.
struct SeenColumns {
  const int32_t *prefix_lo, *prefix_hi, *lo, *hi;
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

  // Rows of one batch row `b`: qkv [T, (H + 2K)·D] → q [K, G, T, D] rotated and scaled, k [K, T, D] rotated, v [K, T,
  // D]. cos, sin: [positions, R/2]; positions: [T].
  void (*split_rotate)(const void* qkv, const float* cos, const float* sin, const int32_t* positions, float scale,
                       HeadShape shape, void* q, void* k, void* v, bool bf);
  void (*merge_rotate)(const void* dq, const void* dk, const void* dv, const float* cos, const float* sin,
                       const int32_t* positions, float scale, HeadShape shape, void* dqkv, bool bf);

  // scores [n_rows, width] in place: softmax over the columns that a row covers, zero elsewhere.
  void (*softmax)(void* scores, const SeenColumns& seen, int64_t n_rows, int64_t width, bool bf);
  // dp in place becomes the gradient of the scores.
  void (*softmax_backward)(const void* p, void* dp, const SeenColumns& seen, int64_t n_rows, int64_t width, bool bf);

  // logits [n, vocab] in place become weight · (softmax − one-hot); returns Σ weight · nll. hits += Σ (argmax ==
  // target) over rows whose weight isn't 0.
  double (*cross_entropy)(void* logits, const int32_t* targets, const float* weights, int64_t n_rows, int64_t vocab,
                          int64_t* hits, bool bf);

  // One query a head against `length` cached keys and values: q [G, D] scaled; keys, values [length, D] → out [G, D].
  // scratch: length floats.
  void (*attend_one)(const void* q, const void* keys, const void* values, int64_t group, int64_t length,
                     int64_t head_dim, float* scratch, void* out, bool bf);

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
