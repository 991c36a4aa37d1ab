#include "finetune/optimiser.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "nn/kernels.h"

namespace slm::finetune {

AdamW::AdamW(std::vector<nn::Parameter> parameters, const AdamWOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  for (const auto& p : parameters_) {
    m_.push_back(at::zeros_like(p.value).detach());
    v_.push_back(at::zeros_like(p.value).detach());
  }
}

double AdamW::step(double rate, double divisor) {
  at::NoGradGuard no_grad;
  double squares = 0;
  for (const auto& p : parameters_) {
    if (!p.value.grad().defined()) continue;
    const double norm = p.value.grad().norm().item<double>();
    squares += norm * norm;
  }
  const double norm = std::sqrt(squares) / divisor;
  if (!std::isfinite(norm)) {
    for (const auto& p : parameters_) p.value.mutable_grad().reset();
    return norm;
  }
  const double clip = options_.clip_norm > 0 ? std::min(1.0, options_.clip_norm / (norm + 1e-12)) : 1.0;
  ++n_steps_;
  const double bias1 = 1.0 - std::pow(options_.beta1, static_cast<double>(n_steps_));
  const double bias2 = 1.0 - std::pow(options_.beta2, static_cast<double>(n_steps_));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& p = parameters_[i];
    if (!p.value.grad().defined()) continue;
    const at::Tensor g = p.value.grad().contiguous();
    const double decay = p.decay ? rate * options_.weight_decay : 0.0;
    if (p.value.device().is_cpu() && p.value.scalar_type() == at::kFloat) {
      const nn::AdamStep step{static_cast<float>(clip / divisor), static_cast<float>(options_.beta1),
                              static_cast<float>(options_.beta2), static_cast<float>(options_.eps),
                              static_cast<float>(rate / bias1),   static_cast<float>(1.0 / std::sqrt(bias2)),
                              static_cast<float>(decay)};
      at::parallel_for(0, p.value.numel(), 1 << 15, [&](int64_t a, int64_t b) {
        nn::kernels().adamw(p.value.data_ptr<float>() + a, g.data_ptr<float>() + a, m_[i].data_ptr<float>() + a,
                            v_[i].data_ptr<float>() + a, b - a, step);
      });
    } else {
      const at::Tensor scaled = g * (clip / divisor);
      m_[i].mul_(options_.beta1).add_(scaled, 1.0 - options_.beta1);
      v_[i].mul_(options_.beta2).addcmul_(scaled, scaled, 1.0 - options_.beta2);
      at::Tensor value = p.value.detach();
      value.mul_(1.0 - decay).addcdiv_(m_[i], v_[i].div(bias2).sqrt_().add_(options_.eps), -rate / bias1);
    }
    p.value.mutable_grad().reset();
  }
  return norm;
}

double learning_rate(const Schedule& s, int64_t step) {
  if (step < s.warmup_steps) return s.peak * static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
  const auto rest = static_cast<double>(std::max<int64_t>(1, s.n_steps - s.warmup_steps));
  const double t = std::clamp(static_cast<double>(step - s.warmup_steps) / rest, 0.0, 1.0);
  return s.peak * (s.final_ratio + (1.0 - s.final_ratio) * 0.5 * (1.0 + std::cos(std::numbers::pi * t)));
}

}  // namespace slm::finetune
