#include "nn/ops.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>
#include <cmath>
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

HeadShape head_shape(const AttentionShape& s) { return {s.length, s.n_heads, s.n_kv, s.head_dim}; }

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
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
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
    context->saved_data["shape"] = std::vector<int64_t>{s.rows, s.length, s.n_heads, s.n_kv, s.head_dim};
    return out;
  }
  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const Split x{saved[0], saved[1], saved[2]};
    const AttentionContext c{saved[4], saved[5], saved[6], saved[7], saved[8], saved[9]};
    const auto sizes = context->saved_data["shape"].toIntVector();
    const AttentionShape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]};
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
    const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
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

// x [rows, T, heads, D], cos and sin [rows, T, 1, D/2]
Tensor rotate_plain(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const auto halves = x.chunk(2, -1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
}

AttentionParts attention_plain(const Tensor& qkv, const AttentionContext& c, const AttentionShape& s) {
  const int64_t group = s.n_heads / s.n_kv;
  const Tensor x = qkv.view({s.rows, s.length, s.n_heads + 2 * s.n_kv, s.head_dim});
  const Tensor cos = c.cos.index_select(0, c.positions).view({s.rows, s.length, 1, -1}).to(qkv.scalar_type());
  const Tensor sin = c.sin.index_select(0, c.positions).view({s.rows, s.length, 1, -1}).to(qkv.scalar_type());
  const Tensor q = rotate_plain(x.narrow(2, 0, s.n_heads), cos, sin).transpose(1, 2);
  const Tensor k = rotate_plain(x.narrow(2, s.n_heads, s.n_kv), cos, sin).transpose(1, 2);
  const Tensor v = x.narrow(2, s.n_heads + s.n_kv, s.n_kv).transpose(1, 2);
  const Tensor at_key = at::arange(s.length, c.starts.options()).view({1, 1, 1, s.length});
  const Tensor at_query = at_key.view({1, 1, s.length, 1});
  const auto of_query = [&](const Tensor& t) { return t.view({s.rows, 1, s.length, 1}); };
  Tensor hidden = (at_key > at_query) | (at_key < of_query(c.starts));
  if (c.prefix_starts.defined())
    hidden = hidden & ~((at_key >= of_query(c.prefix_starts)) & (at_key < of_query(c.prefix_ends)));
  Tensor scores =
      at::matmul(q, k.repeat_interleave(group, 1).transpose(2, 3)) / std::sqrt(static_cast<double>(s.head_dim));
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  const Tensor out = at::matmul(at::softmax(scores, -1), v.repeat_interleave(group, 1));
  return {out.transpose(1, 2).reshape({s.rows * s.length, s.n_heads * s.head_dim}), k.contiguous(), v.contiguous()};
}

// --- loss
// --------------------------------------------------------------------------------------------------------------

constexpr int64_t kLossRows = 1024;

struct LinearCrossEntropy : Function<LinearCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& h, const Tensor& weight, const Tensor& targets,
                        const Tensor& weights, bool want_grad, int64_t* hits) {
    const int64_t n = h.size(0), vocab = weight.size(0);
    const bool want_dw = want_grad && weight.requires_grad();
    Tensor dh = want_grad ? at::empty_like(h) : Tensor();
    Tensor dw = want_dw ? at::zeros(weight.sizes(), weight.options().dtype(at::kFloat)) : Tensor();
    double loss = 0;
    for (int64_t from = 0; from < n; from += kLossRows) {
      const int64_t rows = std::min(kLossRows, n - from);
      const Tensor part = h.narrow(0, from, rows);
      Tensor logits = at::linear(part, weight);
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
    return {scaled(saved[0]), scaled(saved[1]), Tensor(), Tensor(), Tensor(), Tensor()};
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

Tensor swiglu(const Tensor& gate_up) {
  if (has_kernel(gate_up)) return SwiGlu::apply(gate_up);
  const auto halves = gate_up.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

Tensor attention(const Tensor& qkv, const AttentionContext& context, const AttentionShape& shape) {
  if (has_kernel(qkv)) return Attention::apply(qkv, context, shape);
  return attention_plain(qkv, context, shape).out;
}

AttentionParts attention_with_cache(const Tensor& qkv, const AttentionContext& context, const AttentionShape& s) {
  if (!has_kernel(qkv)) return attention_plain(qkv, context, s);
  const Split x = split_heads(qkv, context, s);
  const auto cache_shape = {s.rows, s.n_kv, s.length, s.head_dim};
  return {heads_to_tokens(attend(x, context, s, nullptr), s), x.k.view(cache_shape), x.v.view(cache_shape)};
}

CrossEntropy linear_cross_entropy(const Tensor& h, const Tensor& weight, const Tensor& targets, const Tensor& weights) {
  CrossEntropy out;
  if (has_kernel(h)) {
    const bool want_grad = at::GradMode::is_enabled() && (h.requires_grad() || weight.requires_grad());
    out.loss = LinearCrossEntropy::apply(h, weight, targets, weights, want_grad, &out.hits);
    return out;
  }
  const Tensor logits = at::linear(h, weight);
  const Tensor index = targets.to(at::kLong);
  const Tensor wide = weights.to(logits.scalar_type());
  const Tensor nll = -at::log_softmax(logits, -1).gather(1, index.unsqueeze(1)).squeeze(1);
  out.loss = (nll * wide).sum().to(at::kDouble);
  out.hits = ((logits.argmax(-1) == index) & (weights != 0)).sum().item<int64_t>();
  return out;
}

}  // namespace slm::nn
