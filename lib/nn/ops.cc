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

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  constexpr int64_t kMostRows = 8;
  const int64_t m = x.size(0), k = weight.size(1), n = weight.size(0);
  if (at::GradMode::is_enabled() || m > kMostRows || x.scalar_type() != at::kFloat || !has_kernel(x) ||
      !weight.is_contiguous())
    return bias.defined() ? at::linear(x, weight, bias) : at::linear(x, weight);
  const Tensor rows = x.contiguous();
  Tensor out = at::empty({m, n}, x.options());
  at::parallel_for(0, n, std::max<int64_t>(1, 32768 / k), [&](int64_t from, int64_t to) {
    kernels().few_rows(floats(rows), m, floats(weight) + from * k, to - from, k, floats(out) + from, n);
  });
  return bias.defined() ? out.add_(bias) : out;
}

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

Tensor norm_heads(const Tensor& qkv, const Tensor& q_weight, const Tensor& k_weight, int64_t n_kv, double eps) {
  const int64_t head_dim = q_weight.size(0), both = qkv.size(1) / head_dim - n_kv;
  const auto wide = qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const Tensor x = qkv.view({-1, both + n_kv, head_dim});
  const Tensor heads = x.narrow(1, 0, both).to(wide);
  const Tensor normed = heads * at::rsqrt(heads.pow(2).mean(-1, true) + eps);
  const Tensor weight = at::cat({q_weight.view({1, 1, -1}).expand({1, both - n_kv, head_dim}),
                                 k_weight.view({1, 1, -1}).expand({1, n_kv, head_dim})},
                                1);
  return at::cat({(normed * weight).to(qkv.scalar_type()), x.narrow(1, both, n_kv)}, 1).view(qkv.sizes());
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
