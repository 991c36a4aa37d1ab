#include "nn/ops.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "nn/kernels.h"

namespace slm::nn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;
using torch::autograd::Variable;

bool has_kernel(const Tensor& t) {
  return t.device().is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16);
}

namespace {

bool is_bf16(const Tensor& t) { return t.scalar_type() == at::kBFloat16; }
float* floats(const Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }
char* shifted(const Tensor& t, int64_t elements) {
  return t.defined() ? static_cast<char*>(t.data_ptr()) + elements * t.element_size() : nullptr;
}
float* shifted_f(const Tensor& t, int64_t elements) { return t.defined() ? t.data_ptr<float>() + elements : nullptr; }

constexpr int64_t kRowGrain = 64;
// Attention scores held at once. A layer whose scores fit keeps them for its backward pass; one whose don't works
// through its rows and heads in parts, and computes each part again.
constexpr int64_t kMaxScoreBytes = int64_t{64} << 20;

// --- norm
// --------------------------------------------------------------------------------------------------------------

struct AddNorm : Function<AddNorm> {
  static tensor_list forward(AutogradContext* context, const Tensor& x, const Tensor& y, const Tensor& weight,
                             double eps, bool bf16) {
    const int64_t n = x.size(0), width = x.size(1);
    const bool has_y = y.defined() && y.numel() > 0;
    Tensor sum = has_y ? at::empty_like(x) : x;
    Tensor h = at::empty({n, width}, x.options().dtype(bf16 ? at::kBFloat16 : at::kFloat));
    Tensor inv = at::empty({n}, x.options());
    at::parallel_for(0, n, kRowGrain, [&](int64_t a, int64_t b) {
      kernels().add_norm(floats(x) + a * width, has_y ? shifted(y, a * width) : nullptr, floats(weight),
                         static_cast<float>(eps), b - a, width, has_y ? floats(sum) + a * width : nullptr,
                         shifted(h, a * width), floats(inv) + a, bf16);
    });
    context->save_for_backward({sum, weight, inv});
    context->saved_data["bf16"] = bf16;
    context->saved_data["has_y"] = has_y;
    if (has_y) return {sum, h};
    return {h};
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &sum = saved[0], &weight = saved[1], &inv = saved[2];
    const bool bf16 = context->saved_data["bf16"].toBool(), has_y = context->saved_data["has_y"].toBool();
    const int64_t n = sum.size(0), width = sum.size(1);
    Tensor d_sum = has_y && grads[0].defined() ? grads[0].contiguous() : Tensor();
    Tensor dh = grads[has_y ? 1 : 0];
    dh = dh.defined() ? dh.contiguous() : at::zeros({n, width}, sum.options().dtype(bf16 ? at::kBFloat16 : at::kFloat));
    Tensor dx = at::empty_like(sum);
    Tensor dy = has_y ? at::empty_like(dh) : Tensor();
    // One partial sum per fixed slice of rows, so that the result doesn't depend on how threads share them.
    const bool want_dw = context->needs_input_grad(2);
    const int64_t slice = std::max<int64_t>(kRowGrain, (n + 15) / 16), n_slices = (n + slice - 1) / slice;
    Tensor partial = want_dw ? at::zeros({n_slices, width}, sum.options()) : Tensor();
    at::parallel_for(0, n_slices, 1, [&](int64_t from, int64_t to) {
      for (int64_t s = from; s < to; ++s) {
        const int64_t a = s * slice, b = std::min(n, a + slice);
        kernels().add_norm_backward(shifted_f(d_sum, a * width), shifted(dh, a * width), floats(sum) + a * width,
                                    floats(weight), floats(inv) + a, b - a, width, floats(dx) + a * width,
                                    shifted(dy, a * width), shifted_f(partial, s * width), bf16);
      }
    });
    return {dx, dy, want_dw ? partial.sum(0) : Tensor(), Tensor(), Tensor()};
  }
};

// --- SwiGLU
// ------------------------------------------------------------------------------------------------------------

struct SwiGlu : Function<SwiGlu> {
  static Tensor forward(AutogradContext* context, const Tensor& gate_up) {
    const int64_t n = gate_up.size(0), width = gate_up.size(1) / 2;
    Tensor out = at::empty({n, width}, gate_up.options());
    at::parallel_for(0, n, kRowGrain, [&](int64_t a, int64_t b) {
      kernels().swiglu(shifted(gate_up, a * 2 * width), b - a, width, shifted(out, a * width), is_bf16(gate_up));
    });
    context->save_for_backward({gate_up});
    return out;
  }
  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const Tensor gate_up = context->get_saved_variables()[0];
    const int64_t n = gate_up.size(0), width = gate_up.size(1) / 2;
    const Tensor g = grads[0].contiguous();
    Tensor d = at::empty_like(gate_up);
    at::parallel_for(0, n, kRowGrain, [&](int64_t a, int64_t b) {
      kernels().swiglu_backward(shifted(gate_up, a * 2 * width), shifted(g, a * width), b - a, width,
                                shifted(d, a * 2 * width), is_bf16(gate_up));
    });
    return {d};
  }
};

// --- attention
// ---------------------------------------------------------------------------------------------------------

HeadShape head_shape(const AttentionShape& s) { return {s.length, s.n_heads, s.n_kv, s.head_dim, s.rotated}; }

// last[t] = t + 1: the end of what token t of a row sees.
Tensor row_ends(int64_t length) { return at::arange(1, length + 1, at::kInt); }

struct Split {
  Tensor q, k, v;  // [rows·K, G·T, D], [rows·K, T, D] twice
};
Split split_heads(const Tensor& qkv, const AttentionContext& c, const AttentionShape& s) {
  const int64_t group = s.n_heads / s.n_kv;
  Split out{at::empty({s.rows * s.n_kv, group * s.length, s.head_dim}, qkv.options()),
            at::empty({s.rows * s.n_kv, s.length, s.head_dim}, qkv.options()),
            at::empty({s.rows * s.n_kv, s.length, s.head_dim}, qkv.options())};
  const auto scale = static_cast<float>(s.scale);
  const int64_t q_size = s.n_heads * s.length * s.head_dim, k_size = s.n_kv * s.length * s.head_dim;
  at::parallel_for(0, s.rows, 1, [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r)
      kernels().split_rotate(shifted(qkv, r * (q_size + 2 * k_size)), floats(c.cos), floats(c.sin),
                             c.positions.data_ptr<int32_t>() + r * s.length, scale, head_shape(s),
                             shifted(out.q, r * q_size), shifted(out.k, r * k_size), shifted(out.v, r * k_size),
                             is_bf16(qkv));
  });
  return out;
}

// Applies a softmax kernel to each (row, head) block of scores [n, G·T, T] that belong to blocks [from, from + n) of
// rows·K: kernel(offset in the scores, what its T queries see).
template <class Kernel>
void over_blocks(const Tensor& scores, int64_t from, const AttentionContext& c, const AttentionShape& s,
                 const Kernel& kernel) {
  const Tensor ends = row_ends(s.length);
  const auto ints = [](const Tensor& t) { return t.defined() ? t.data_ptr<int32_t>() : nullptr; };
  const int32_t *lo = ints(c.starts), *hi = ints(ends), *from_prefix = ints(c.prefix_starts),
                *to_prefix = ints(c.prefix_ends);
  const int64_t group = s.n_heads / s.n_kv;
  at::parallel_for(0, scores.size(0) * group, 1, [&](int64_t a, int64_t b) {
    for (int64_t i = a; i < b; ++i) {
      const int64_t row = (from + i / group) / s.n_kv * s.length;
      const bool shared = from_prefix != nullptr;
      kernel(i * s.length * s.length,
             SeenColumns{shared ? from_prefix + row : nullptr, shared ? to_prefix + row : nullptr, lo + row, hi});
    }
  });
}

// Blocks of rows·K whose scores are held at once.
int64_t blocks_at_once(const Tensor& q, const AttentionShape& s) {
  const int64_t bytes = s.n_heads / s.n_kv * s.length * s.length * q.element_size();
  return std::clamp<int64_t>(kMaxScoreBytes / bytes, 1, s.rows * s.n_kv);
}

Tensor probabilities(const Split& x, int64_t from, int64_t n, const AttentionContext& c, const AttentionShape& s) {
  Tensor p = at::bmm(x.q.narrow(0, from, n), x.k.narrow(0, from, n).transpose(1, 2));
  over_blocks(p, from, c, s, [&](int64_t offset, const SeenColumns& seen) {
    kernels().softmax(shifted(p, offset), seen, s.length, s.length, is_bf16(p));
  });
  return p;
}

// Attention's output [rows·K, G·T, D]; the probabilities too where they fit.
Tensor attend(const Split& x, const AttentionContext& c, const AttentionShape& s, Tensor* kept) {
  const int64_t n_blocks = s.rows * s.n_kv, at_once = blocks_at_once(x.q, s);
  Tensor out = at::empty_like(x.q);
  for (int64_t from = 0; from < n_blocks; from += at_once) {
    const int64_t n = std::min(at_once, n_blocks - from);
    const Tensor p = probabilities(x, from, n, c, s);
    Tensor part = out.narrow(0, from, n);
    at::bmm_out(part, p, x.v.narrow(0, from, n));
    if (kept != nullptr && n == n_blocks) *kept = p;
  }
  return out;
}

// [rows·K, G·T, D] → [N, H·D] and back.
Tensor heads_to_tokens(const Tensor& x, const AttentionShape& s) {
  return x.view({s.rows, s.n_heads, s.length, s.head_dim})
      .transpose(1, 2)
      .reshape({s.rows * s.length, s.n_heads * s.head_dim});
}
Tensor tokens_to_heads(const Tensor& x, const AttentionShape& s) {
  return x.view({s.rows, s.length, s.n_heads, s.head_dim})
      .transpose(1, 2)
      .reshape({s.rows * s.n_kv, s.n_heads / s.n_kv * s.length, s.head_dim});
}

struct Attention : Function<Attention> {
  static Tensor forward(AutogradContext* context, const Tensor& qkv, const AttentionContext& c,
                        const AttentionShape& s) {
    const Split x = split_heads(qkv, c, s);
    Tensor p;
    const Tensor out = heads_to_tokens(attend(x, c, s, &p), s);
    context->save_for_backward({x.q, x.k, x.v, p, c.cos, c.sin, c.positions, c.starts, c.prefix_starts, c.prefix_ends});
    context->saved_data["shape"] = std::vector<int64_t>{s.rows, s.length, s.n_heads, s.n_kv, s.head_dim, s.rotated};
    context->saved_data["scale"] = s.scale;
    return out;
  }
  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const Split x{saved[0], saved[1], saved[2]};
    const AttentionContext c{saved[4], saved[5], saved[6], saved[7], saved[8], saved[9]};
    const auto sizes = context->saved_data["shape"].toIntVector();
    const AttentionShape s{
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], context->saved_data["scale"].toDouble()};
    const Tensor d_out = tokens_to_heads(grads[0].contiguous(), s);
    const Tensor dq = at::empty_like(x.q), dk = at::empty_like(x.k), dv = at::empty_like(x.v);
    const int64_t n_blocks = s.rows * s.n_kv, at_once = blocks_at_once(x.q, s);
    for (int64_t from = 0; from < n_blocks; from += at_once) {
      const int64_t n = std::min(at_once, n_blocks - from);
      const auto part = [&](const Tensor& t) { return t.narrow(0, from, n); };
      const Tensor p = saved[3].defined() ? saved[3] : probabilities(x, from, n, c, s);
      Tensor ds = at::bmm(part(d_out), part(x.v).transpose(1, 2));
      over_blocks(ds, from, c, s, [&](int64_t offset, const SeenColumns& seen) {
        kernels().softmax_backward(shifted(p, offset), shifted(ds, offset), seen, s.length, s.length, is_bf16(p));
      });
      Tensor q_part = part(dq), k_part = part(dk), v_part = part(dv);
      at::bmm_out(q_part, ds, part(x.k));
      at::bmm_out(k_part, ds.transpose(1, 2), part(x.q));
      at::bmm_out(v_part, p.transpose(1, 2), part(d_out));
    }
    Tensor d = at::empty({s.rows * s.length, (s.n_heads + 2 * s.n_kv) * s.head_dim}, x.q.options());
    const auto scale = static_cast<float>(s.scale);
    const int64_t q_size = s.n_heads * s.length * s.head_dim, k_size = s.n_kv * s.length * s.head_dim;
    at::parallel_for(0, s.rows, 1, [&](int64_t a, int64_t b) {
      for (int64_t r = a; r < b; ++r)
        kernels().merge_rotate(shifted(dq, r * q_size), shifted(dk, r * k_size), shifted(dv, r * k_size), floats(c.cos),
                               floats(c.sin), c.positions.data_ptr<int32_t>() + r * s.length, scale, head_shape(s),
                               shifted(d, r * (q_size + 2 * k_size)), is_bf16(d));
    });
    return {d, Tensor(), Tensor()};
  }
};

// x [rows, T, heads, D], cos and sin [rows, T, 1, R/2]
Tensor rotate_plain(const Tensor& x, const Tensor& cos, const Tensor& sin, int64_t rotated) {
  const auto halves = x.narrow(-1, 0, rotated).chunk(2, -1);
  const Tensor turned = at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
  return rotated == x.size(-1) ? turned : at::cat({turned, x.narrow(-1, rotated, x.size(-1) - rotated)}, -1);
}

// Rotated queries and keys, and values: [rows, H or K, T, D]; the queries not yet scaled.
Split split_heads_plain(const Tensor& qkv, const AttentionContext& c, const AttentionShape& s) {
  const Tensor x = qkv.view({s.rows, s.length, s.n_heads + 2 * s.n_kv, s.head_dim});
  const Tensor cos = c.cos.index_select(0, c.positions).view({s.rows, s.length, 1, -1}).to(qkv.scalar_type());
  const Tensor sin = c.sin.index_select(0, c.positions).view({s.rows, s.length, 1, -1}).to(qkv.scalar_type());
  return {rotate_plain(x.narrow(2, 0, s.n_heads), cos, sin, s.rotated).transpose(1, 2),
          rotate_plain(x.narrow(2, s.n_heads, s.n_kv), cos, sin, s.rotated).transpose(1, 2),
          x.narrow(2, s.n_heads + s.n_kv, s.n_kv).transpose(1, 2)};
}

// Queries [rows, H, T, D] over keys and values [rows, K, S, D]; hidden [rows, 1, T, S].
Tensor attend_plain(const Split& x, const Tensor& hidden, const AttentionShape& s) {
  const int64_t group = s.n_heads / s.n_kv;
  Tensor scores = at::matmul(x.q, x.k.repeat_interleave(group, 1).transpose(2, 3)) * s.scale;
  if (s.softcap > 0) scores = at::tanh(scores / s.softcap) * s.softcap;
  const Tensor p = at::softmax(scores.masked_fill(hidden, -std::numeric_limits<double>::infinity()), -1);
  return at::matmul(p, x.v.repeat_interleave(group, 1));
}

AttentionParts attention_plain(const Tensor& qkv, const AttentionContext& c, const AttentionShape& s) {
  const Split x = split_heads_plain(qkv, c, s);
  const Tensor at_key = at::arange(s.length, c.starts.options()).view({1, 1, 1, s.length});
  const Tensor at_query = at_key.view({1, 1, s.length, 1});
  const auto of_query = [&](const Tensor& t) { return t.view({s.rows, 1, s.length, 1}); };
  Tensor hidden = (at_key > at_query) | (at_key < of_query(c.starts));
  if (c.prefix_starts.defined())
    hidden = hidden & ~((at_key >= of_query(c.prefix_starts)) & (at_key < of_query(c.prefix_ends)));
  const Tensor out = attend_plain(x, hidden, s);
  return {out.transpose(1, 2).reshape({s.rows * s.length, s.n_heads * s.head_dim}), x.k.contiguous(), x.v.contiguous()};
}

// The kernels attend without a cap on the scores.
bool has_attention_kernel(const Tensor& qkv, const AttentionShape& s) { return has_kernel(qkv) && s.softcap == 0; }

// --- loss
// --------------------------------------------------------------------------------------------------------------

constexpr int64_t kLossRows = 1024;

struct LinearCrossEntropy : Function<LinearCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& h, const Tensor& weight, const Tensor& targets,
                        const Tensor& weights, double softcap, bool want_grad, int64_t* hits) {
    const int64_t n = h.size(0), vocab = weight.size(0);
    const bool want_dw = want_grad && weight.requires_grad();
    Tensor dh = want_grad ? at::empty_like(h) : Tensor();
    Tensor dw = want_dw ? at::zeros(weight.sizes(), weight.options().dtype(at::kFloat)) : Tensor();
    double loss = 0;
    for (int64_t from = 0; from < n; from += kLossRows) {
      const int64_t rows = std::min(kLossRows, n - from);
      const Tensor part = h.narrow(0, from, rows);
      Tensor logits = at::linear(part, weight), slope;
      if (softcap > 0) {
        logits.div_(softcap).tanh_();
        if (want_grad) slope = 1 - logits.square();
        logits.mul_(softcap);
      }
      constexpr int64_t kSlice = 32;  // fixed slices: sums don't depend on the number of threads
      const int64_t n_slices = (rows + kSlice - 1) / kSlice;
      std::vector<double> losses(static_cast<size_t>(n_slices));
      std::vector<int64_t> hit(static_cast<size_t>(n_slices));
      at::parallel_for(0, n_slices, 1, [&](int64_t a, int64_t b) {
        for (int64_t i = a; i < b; ++i) {
          const int64_t r = i * kSlice;
          losses[static_cast<size_t>(i)] = kernels().cross_entropy(
              shifted(logits, r * vocab), targets.data_ptr<int32_t>() + from + r, floats(weights) + from + r,
              std::min(kSlice, rows - r), vocab, &hit[static_cast<size_t>(i)], is_bf16(logits));
        }
      });
      for (size_t i = 0; i < losses.size(); ++i) {
        loss += losses[i];
        *hits += hit[i];
      }
      if (!want_grad) continue;
      if (slope.defined()) logits.mul_(slope);
      Tensor dh_part = dh.narrow(0, from, rows);
      at::mm_out(dh_part, logits, weight);
      if (want_dw) dw.add_(at::mm(logits.t(), part));
    }
    context->save_for_backward({dh, dw});
    return at::scalar_tensor(loss, h.options().dtype(at::kDouble));
  }
  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const double scale = grads[0].item<double>();
    auto scaled = [&](const Tensor& t) { return !t.defined() || scale == 1.0 ? t : t * scale; };
    return {scaled(saved[0]), scaled(saved[1]), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

NormOut add_norm(const Tensor& x, const Tensor& y, const Tensor& weight, double eps, at::ScalarType compute) {
  if (x.device().is_cpu() && x.scalar_type() == at::kFloat && (compute == at::kFloat || compute == at::kBFloat16)) {
    auto out = AddNorm::apply(x, y.defined() ? y : at::empty({0}, x.options()), weight, eps, compute == at::kBFloat16);
    if (y.defined()) return {out[0], out[1]};
    return {x, out[0]};
  }
  const Tensor sum = y.defined() ? x + y.to(x.scalar_type()) : x;
  const Tensor inv = at::rsqrt(sum.pow(2).mean(-1, true) + eps);
  return {sum, (sum * inv * weight).to(compute)};
}

Tensor activate(const Tensor& x, Activation activation, bool gated) {
  if (gated && activation == Activation::kSilu && has_kernel(x)) return SwiGlu::apply(x);
  const auto act = [&](const Tensor& t) { return activation == Activation::kSilu ? at::silu(t) : at::gelu(t, "tanh"); };
  if (!gated) return act(x);
  const auto halves = x.chunk(2, -1);
  return act(halves[0]) * halves[1];
}

Tensor norm_heads(const Tensor& qkv, const Tensor& q_weight, const Tensor& k_weight, const AttentionShape& s,
                  double eps) {
  const int64_t both = s.n_heads + s.n_kv;
  const auto wide = qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const Tensor x = qkv.view({-1, both + s.n_kv, s.head_dim});
  const Tensor heads = x.narrow(1, 0, both).to(wide);
  const Tensor normed = heads * at::rsqrt(heads.pow(2).mean(-1, true) + eps);
  const Tensor weight = at::cat({q_weight.view({1, 1, -1}).expand({1, s.n_heads, s.head_dim}),
                                 k_weight.view({1, 1, -1}).expand({1, s.n_kv, s.head_dim})},
                                1);
  return at::cat({(normed * weight).to(qkv.scalar_type()), x.narrow(1, both, s.n_kv)}, 1).view(qkv.sizes());
}

Tensor attention(const Tensor& qkv, const AttentionContext& context, const AttentionShape& shape) {
  if (has_attention_kernel(qkv, shape)) return Attention::apply(qkv, context, shape);
  return attention_plain(qkv, context, shape).out;
}

AttentionParts attention_with_cache(const Tensor& qkv, const AttentionContext& context, const AttentionShape& s) {
  if (!has_attention_kernel(qkv, s)) return attention_plain(qkv, context, s);
  const Split x = split_heads(qkv, context, s);
  const auto cache_shape = {s.rows, s.n_kv, s.length, s.head_dim};
  return {heads_to_tokens(attend(x, context, s, nullptr), s), x.k.view(cache_shape), x.v.view(cache_shape)};
}

Tensor attend_cached(const Tensor& qkv, const AttentionContext& context, const AttentionShape& s,
                     const CachedRows& cached, Tensor& keys, Tensor& values) {
  const auto& [lengths, window] = cached;
  const int64_t n = s.rows, group = s.n_heads / s.n_kv, capacity = keys.size(2);
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end()) + 1;
  if (!has_attention_kernel(qkv, s)) {
    Split x = split_heads_plain(qkv, context, s);
    const auto options = at::TensorOptions().dtype(at::kLong).device(qkv.device());
    const Tensor at_new = at::tensor(lengths, at::kLong).to(qkv.device()), rows = at::arange(n, options);
    keys.index_put_({rows, at::indexing::Slice(), at_new}, x.k.squeeze(2));
    values.index_put_({rows, at::indexing::Slice(), at_new}, x.v.squeeze(2));
    const Tensor at_key = at::arange(longest, options).view({1, 1, 1, longest}), last = at_new.view({n, 1, 1, 1});
    Tensor hidden = at_key > last;
    if (window > 0) hidden = hidden | (at_key <= last - window);
    x.k = keys.narrow(2, 0, longest);
    x.v = values.narrow(2, 0, longest);
    return attend_plain(x, hidden, s).reshape({n, s.n_heads * s.head_dim});
  }
  const bool bf = is_bf16(qkv);
  const auto bytes = static_cast<size_t>(s.head_dim * qkv.element_size());
  Tensor out = at::empty({n, s.n_heads * s.head_dim}, qkv.options()), q = at::empty_like(out);
  Tensor kv = at::empty({2, s.n_kv * s.head_dim}, qkv.options());
  for (int64_t b = 0; b < n; ++b) {
    kernels().split_rotate(shifted(qkv, b * qkv.size(1)), floats(context.cos), floats(context.sin),
                           context.positions.data_ptr<int32_t>() + b, static_cast<float>(s.scale),
                           {1, s.n_heads, s.n_kv, s.head_dim, s.rotated}, shifted(q, b * q.size(1)), shifted(kv, 0),
                           shifted(kv, kv.size(1)), bf);
    for (int64_t h = 0; h < s.n_kv; ++h) {
      const int64_t to = ((b * s.n_kv + h) * capacity + lengths[static_cast<size_t>(b)]) * s.head_dim;
      std::memcpy(shifted(keys, to), shifted(kv, h * s.head_dim), bytes);
      std::memcpy(shifted(values, to), shifted(kv, kv.size(1) + h * s.head_dim), bytes);
    }
  }
  at::parallel_for(0, n * s.n_kv, 8, [&](int64_t from, int64_t to) {
    std::vector<float> scratch(static_cast<size_t>(longest));
    for (int64_t j = from; j < to; ++j) {
      const int64_t held = cached.lengths[static_cast<size_t>(j / s.n_kv)] + 1;
      const int64_t seen = cached.window > 0 ? std::min(held, cached.window) : held;
      const int64_t at_cache = (j * capacity + held - seen) * s.head_dim;
      kernels().attend_one(shifted(q, j * group * s.head_dim), shifted(keys, at_cache), shifted(values, at_cache),
                           group, seen, s.head_dim, scratch.data(), shifted(out, j * group * s.head_dim), bf);
    }
  });
  return out;
}

CrossEntropy linear_cross_entropy(const Tensor& h, const Tensor& weight, const LossTargets& at, double softcap) {
  CrossEntropy out;
  if (has_kernel(h)) {
    const bool want_grad = at::GradMode::is_enabled() && (h.requires_grad() || weight.requires_grad());
    out.loss = LinearCrossEntropy::apply(h, weight, at.targets, at.weights, softcap, want_grad, &out.hits);
    return out;
  }
  Tensor logits = at::linear(h, weight);
  if (softcap > 0) logits = at::tanh(logits / softcap) * softcap;
  const Tensor index = at.targets.to(at::kLong);
  const Tensor wide = at.weights.to(logits.scalar_type());
  const Tensor nll = -at::log_softmax(logits, -1).gather(1, index.unsqueeze(1)).squeeze(1);
  out.loss = (nll * wide).sum().to(at::kDouble);
  out.hits = ((logits.argmax(-1) == index) & (at.weights != 0)).sum().item<int64_t>();
  return out;
}

}  // namespace slm::nn
