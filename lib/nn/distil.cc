#include "nn/distil.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace slm::nn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

constexpr int64_t kRows = 256;  // of both models' logits held at once

at::ScalarType wide_of(const Tensor& t) { return t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

Tensor capped(const Tensor& raw, double softcap) { return softcap > 0 ? at::tanh(raw / softcap) * softcap : raw; }

Tensor logits_of(const Scores& scores, int64_t from, int64_t n) {
  const Tensor raw = at::linear(scores.states.narrow(0, from, n), scores.head);
  return capped(raw.to(wide_of(raw)), scores.softcap);
}

struct Distil : torch::autograd::Function<Distil> {
  static Tensor forward(AutogradContext* context, const Tensor& states, const Tensor& head, double softcap,
                        const LossTargets& at, const Distillation& from, bool want_gradient, int64_t* hits) {
    const auto& o = from.options;
    const double t = o.temperature;
    const int64_t n = states.size(0), common = o.n_common > 0 ? o.n_common : head.size(0);
    const bool want_head = want_gradient && head.requires_grad();
    Tensor d_states = want_gradient ? at::empty_like(states) : Tensor();
    Tensor d_head = want_head ? at::zeros(head.sizes(), head.options().dtype(wide_of(head))) : Tensor();
    const Tensor targets = at.targets.to(at::kLong);
    double loss = 0;
    for (int64_t row = 0; row < n; row += kRows) {
      const int64_t count = std::min(kRows, n - row);
      const Tensor z = logits_of({states, head, softcap}, row, count);
      const Tensor target = targets.narrow(0, row, count).unsqueeze(1);
      const Tensor weight = at.weights.narrow(0, row, count).to(z.scalar_type()).unsqueeze(1);
      const Tensor theirs = logits_of(from.teacher, row, count).narrow(1, 0, common).to(z.scalar_type());
      const Tensor log_p = at::log_softmax(theirs / t, -1), p = log_p.exp();
      const Tensor log_q = at::log_softmax(z.narrow(1, 0, common) / t, -1);
      const Tensor divergence = (p * (log_p - log_q)).sum(1, true);
      const Tensor log_all = at::log_softmax(z, -1);
      const Tensor each = divergence * (o.share * t * t) - log_all.gather(1, target) * (1 - o.share);
      loss += (each * weight).sum().item<double>();
      *hits += ((z.argmax(-1, true) == target) & (weight != 0)).sum().item<int64_t>();
      if (!want_gradient) continue;
      Tensor dz = log_all.exp();
      dz.scatter_add_(1, target, at::full_like(weight, -1));
      dz.mul_(1 - o.share);
      dz.narrow(1, 0, common).add_(log_q.exp() - p, o.share * t);
      dz.mul_(weight);
      if (softcap > 0) dz.mul_(1 - (z / softcap).square());
      const Tensor gradient = dz.to(states.scalar_type());
      d_states.narrow(0, row, count).copy_(at::mm(gradient, head));
      if (want_head) d_head.add_(at::mm(gradient.t(), states.narrow(0, row, count)));
    }
    context->save_for_backward({d_states, d_head});
    return at::scalar_tensor(loss, states.options().dtype(at::kDouble));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const double scale = gradients[0].item<double>();
    const auto scaled = [&](const Tensor& t) { return !t.defined() || scale == 1.0 ? t : t * scale; };
    return {scaled(saved[0]), scaled(saved[1]), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

CrossEntropy distil_loss(const Scores& student, const LossTargets& at, const Distillation& from) {
  CrossEntropy out;
  const bool want = at::GradMode::is_enabled() && (student.states.requires_grad() || student.head.requires_grad());
  out.loss = Distil::apply(student.states, student.head, student.softcap, at, from, want, &out.hits);
  return out;
}

}  // namespace slm::nn
