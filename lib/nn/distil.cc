#include "nn/distil.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>

namespace slm::nn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

constexpr int64_t kRows = 256;  // of both models' logits held at once
constexpr double kLeastLog = -1e4;

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

// What was logged of a batch as tensors, padded to the longest list. A row of it belongs to row `at` of the loss.
struct LoggedRows {
  std::vector<int64_t> at;
  Tensor ids, p, rest;      // [n, K] (padded with an id of the row), [n, K] (with 0), [n]
  std::vector<float> n_of;  // of each row of the loss
};
LoggedRows logged_rows(const std::vector<LoggedTopK>& logged, int64_t n_rows) {
  LoggedRows out;
  size_t longest = 1;
  for (const auto& one : logged) longest = std::max(longest, one.ids.size());
  const auto n = static_cast<int64_t>(logged.size()), k = static_cast<int64_t>(longest);
  out.ids = at::empty({n, k}, at::kLong);
  out.p = at::zeros({n, k}, at::kDouble);
  out.rest = at::empty({n}, at::kDouble);
  out.n_of.resize(static_cast<size_t>(n_rows));
  auto ids = out.ids.accessor<int64_t, 2>();
  auto p = out.p.accessor<double, 2>();
  auto rest = out.rest.accessor<double, 1>();
  for (int64_t i = 0; i < n; ++i) {
    const auto& one = logged[static_cast<size_t>(i)];
    out.at.push_back(one.at);
    out.n_of[static_cast<size_t>(one.at)] += 1;
    double sum = 0;
    for (size_t j = 0; j < longest; ++j) {
      const bool known = j < one.ids.size();
      ids[i][static_cast<int64_t>(j)] = one.ids[known ? j : 0];
      if (known) sum += p[i][static_cast<int64_t>(j)] = one.probabilities[j];
    }
    rest[i] = std::max(0.0, 1 - sum);
    const double all = sum + rest[i];
    for (int64_t j = 0; j < k; ++j) p[i][j] /= all;
    rest[i] /= all;
  }
  return out;
}

// x · log x, 0 where x is.
Tensor x_log_x(const Tensor& x) { return at::xlogy(x, x); }

struct LoggedDistil : torch::autograd::Function<LoggedDistil> {
  static Tensor forward(AutogradContext* context, const Tensor& states, const Tensor& head, double softcap,
                        const LossTargets& at, const Distillation& from, bool want_gradient, int64_t* hits) {
    const double share = from.options.share;
    const int64_t n = states.size(0);
    const LoggedRows logged = logged_rows(*from.logged, n);
    const bool want_head = want_gradient && head.requires_grad();
    Tensor d_states = want_gradient ? at::empty_like(states) : Tensor();
    Tensor d_head = want_head ? at::zeros(head.sizes(), head.options().dtype(wide_of(head))) : Tensor();
    const Tensor targets = at.targets.to(at::kLong);
    // Each list takes its share of one token's weight.
    const Tensor n_of = at::tensor(logged.n_of, at::kFloat).to(at.weights.device());
    const Tensor weights = at.weights - n_of * share;
    double loss = 0;
    size_t next = 0;
    for (int64_t row = 0; row < n; row += kRows) {
      const int64_t count = std::min(kRows, n - row);
      const Tensor z = logits_of({states, head, softcap}, row, count);
      const Tensor target = targets.narrow(0, row, count).unsqueeze(1);
      const Tensor weight = weights.narrow(0, row, count).to(z.scalar_type()).unsqueeze(1);
      const Tensor log_q = at::log_softmax(z, -1);
      loss -= (log_q.gather(1, target) * weight).sum().item<double>();
      const Tensor is_loss = at.weights.narrow(0, row, count).unsqueeze(1) != 0;
      *hits += ((z.argmax(-1, true) == target) & is_loss).sum().item<int64_t>();
      Tensor dz;
      if (want_gradient) {
        dz = log_q.exp();
        dz.scatter_add_(1, target, at::full_like(weight, -1));
        dz.mul_(weight);
      }
      const size_t first = next;
      while (next < logged.at.size() && logged.at[next] < row + count) ++next;
      if (next > first) {
        std::vector<int64_t> mine(logged.at.begin() + static_cast<std::ptrdiff_t>(first),
                                  logged.at.begin() + static_cast<std::ptrdiff_t>(next));
        for (auto& i : mine) i -= row;
        const Tensor rows = at::tensor(mine, at::kLong).to(z.device());
        const auto part = [&](const Tensor& t) {
          return t.narrow(0, static_cast<int64_t>(first), static_cast<int64_t>(next - first)).to(z.device());
        };
        const Tensor ids = part(logged.ids), p = part(logged.p).to(z.scalar_type()),
                     rest = part(logged.rest).to(z.scalar_type()).unsqueeze(1);
        const Tensor log_mine = log_q.index_select(0, rows);
        // All others: where there are none, nothing is left for them either.
        const Tensor others = log_mine.scatter(1, ids, -std::numeric_limits<double>::infinity());
        const Tensor log_rest = at::logsumexp(others, 1, true);
        const Tensor cross = (p * log_mine.gather(1, ids)).sum(1, true) + rest * log_rest.clamp_min(kLeastLog);
        const Tensor own = x_log_x(p).sum(1, true) + x_log_x(rest);
        loss += share * (own - cross).sum().item<double>();
        if (want_gradient) {
          Tensor d = log_mine.exp() - rest * (others - log_rest.clamp_min(kLeastLog)).exp();
          d.scatter_add_(1, ids, -p);
          dz.index_add_(0, rows, d * share);
        }
      }
      if (!want_gradient) continue;
      if (softcap > 0) dz.mul_(1 - (z / softcap).square());
      const Tensor gradient = dz.to(states.scalar_type());
      d_states.narrow(0, row, count).copy_(at::mm(gradient, head));
      if (want_head) d_head.add_(at::mm(gradient.t(), states.narrow(0, row, count)));
    }
    context->save_for_backward({d_states, d_head});
    return at::scalar_tensor(loss, states.options().dtype(at::kDouble));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return Distil::backward(context, gradients);
  }
};

}  // namespace

CrossEntropy distil_loss(const Scores& student, const LossTargets& at, const Distillation& from) {
  CrossEntropy out;
  const bool want = at::GradMode::is_enabled() && (student.states.requires_grad() || student.head.requires_grad());
  if (from.logged != nullptr)
    out.loss = LoggedDistil::apply(student.states, student.head, student.softcap, at, from, want, &out.hits);
  else
    out.loss = Distil::apply(student.states, student.head, student.softcap, at, from, want, &out.hits);
  return out;
}

}  // namespace slm::nn
