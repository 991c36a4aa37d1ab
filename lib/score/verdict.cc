#include "score/verdict.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "score/interval.h"

namespace slm::score {
namespace {

struct VerdictName {
  Verdict verdict;
  std::string_view name;
};
constexpr VerdictName kVerdictNames[] = {{Verdict::kReplace, "replace"},
                                         {Verdict::kKeep, "keep"},
                                         {Verdict::kNeedMore, "need_more"},
                                         {Verdict::kNotMeasurable, "not_measurable"}};

// Upper bound of the loss at alpha.
double most_loss(const TaskEvidence& task, double alpha) {
  if (task.n == 0) return 1;
  if (task.agreement) return upper_bound(task.b, task.n, alpha);
  return upper_bound(task.b, task.n, alpha / 2) - lower_bound(task.c, task.n, alpha / 2);
}

// Lower bound of the loss at alpha.
double least_loss(const TaskEvidence& task, double alpha) {
  if (task.n == 0) return -1;
  if (task.agreement) return lower_bound(task.b, task.n, alpha);
  return lower_bound(task.b, task.n, alpha / 2) - upper_bound(task.c, task.n, alpha / 2);
}

// Smallest alpha in (0,1] that `shown` accepts, given that it accepts every larger one; 1 if none. To a relative 1e-12
// above 1e-15, rounded up.
template <class Shown>
double smallest_alpha(const Shown& shown) {
  if (!shown(1.0)) return 1;
  constexpr double kFloor = 1e-15;
  if (shown(kFloor)) return kFloor;
  double low = std::log(kFloor), high = 0;  // not shown at low, shown at high
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (shown(std::exp(middle)) ? high : low) = middle;
  }
  return std::exp(high);
}

// Holm's levels in terms of each task's own error A: rank by p/A; the i-th of M is tested at A/(M - i), and none after
// the first that fails. Tasks never reached carry the level at which testing stopped.
struct Holm {
  std::vector<bool> rejected;
  std::vector<double> share;  // level ÷ A
};
Holm holm(const std::vector<double>& p, const std::vector<double>& error, const std::vector<size_t>& measurable) {
  Holm out{std::vector<bool>(p.size()), std::vector<double>(p.size())};
  std::vector<size_t> order = measurable;
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p[i] / error[i] < p[j] / error[j]; });
  bool stopped = false;
  double share = 1;
  for (size_t i = 0; i < order.size(); ++i) {
    if (!stopped) share = 1.0 / static_cast<double>(order.size() - i);
    stopped = stopped || p[order[i]] > error[order[i]] * share;
    out.rejected[order[i]] = !stopped;
    out.share[order[i]] = share;
  }
  return out;
}

// Largest b that still shows the margin among n units, given the lower bound of c; -1 if not even 0 does. U(b) ≤ t is
// the same as P(X ≤ b) ≤ alpha for X binomial(n, t). `from` is where to start looking.
int64_t largest_b(int64_t n, double alpha, double t, int64_t from) {
  if (t <= 0) return -1;
  if (t >= 1) return n;
  int64_t b = std::clamp<int64_t>(from, -1, n - 1);
  while (b >= 0 && binomial_cdf(b, n, t) > alpha) --b;
  while (b + 1 < n && binomial_cdf(b + 1, n, t) <= alpha) ++b;
  return b;
}

double binomial_mass(int64_t k, int64_t n, double p) {
  if (p <= 0) return k == 0 ? 1 : 0;
  if (p >= 1) return k == n ? 1 : 0;
  const auto kd = static_cast<double>(k), nd = static_cast<double>(n);
  return std::exp(std::lgamma(nd + 1) - std::lgamma(kd + 1) - std::lgamma(nd - kd + 1) + kd * std::log(p) +
                  (nd - kd) * std::log1p(-p));
}

// Probability of `replace` at n units; b and c are a trinomial, or b a binomial under agreement.
double power_at(int64_t n, const SizeQuestion& q) {
  const auto expected = static_cast<int64_t>(static_cast<double>(n) * q.margin);
  if (q.agreement) {
    const int64_t most = largest_b(n, q.level, q.margin, expected);
    return most < 0 ? 0 : binomial_cdf(most, n, q.b_share);
  }
  const double mean = static_cast<double>(n) * q.c_share;
  const auto spread = static_cast<int64_t>(6 * std::sqrt(mean) + 6);
  const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(mean) - spread);
  const int64_t last = std::min<int64_t>(n, static_cast<int64_t>(mean) + spread);
  const double b_rest = q.c_share < 1 ? std::min(1.0, q.b_share / (1 - q.c_share)) : 0;
  double power = 0;
  int64_t limit = expected;
  for (int64_t c = first; c <= last; ++c) {
    limit = largest_b(n, q.level / 2, q.margin + lower_bound(c, n, q.level / 2), limit);
    if (limit >= 0) power += binomial_mass(c, n, q.c_share) * binomial_cdf(limit, n - c, b_rest);
  }
  return power;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  for (const VerdictName& row : kVerdictNames)
    if (row.verdict == verdict) return row.name;
  return "not_measurable";
}

std::optional<Verdict> parse_verdict(std::string_view name) {
  for (const VerdictName& row : kVerdictNames)
    if (row.name == name) return row.verdict;
  return std::nullopt;
}

double look_error(const VerdictRule& rule, int look) {
  return rule.total_error * 6 / (std::numbers::pi * std::numbers::pi * static_cast<double>(look) * look);
}

double p_replace(const TaskEvidence& task, double margin) {
  if (task.n == 0) return 1;
  // Under agreement the search has a closed form: U(b) ≤ margin at alpha exactly when P(X ≤ b | margin) ≤ alpha.
  if (task.agreement) return binomial_cdf(task.b, task.n, margin);
  return smallest_alpha([&](double alpha) { return most_loss(task, alpha) <= margin; });
}

double p_keep(const TaskEvidence& task, double margin) {
  if (task.n == 0) return 1;
  if (task.agreement) return 1 - binomial_cdf(task.b - 1, task.n, margin);
  return smallest_alpha([&](double alpha) { return least_loss(task, alpha) >= margin; });
}

std::vector<Decision> decide(std::span<const TaskEvidence> tasks, const VerdictRule& rule) {
  std::vector<Decision> out(tasks.size());
  std::vector<double> replace(tasks.size(), 1), keep(tasks.size(), 1), error(tasks.size(), 1);
  std::vector<size_t> measurable;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!tasks[i].measurable) continue;
    measurable.push_back(i);
    replace[i] = p_replace(tasks[i], rule.margin);
    keep[i] = p_keep(tasks[i], rule.margin);
    error[i] = look_error(rule, tasks[i].look);
  }
  const Holm to_replace = holm(replace, error, measurable), to_keep = holm(keep, error, measurable);

  for (size_t i : measurable) {
    const TaskEvidence& task = tasks[i];
    Decision& made = out[i];
    made.p_replace = replace[i];
    made.p_keep = keep[i];
    made.level = error[i] * to_replace.share[i];
    made.keep_level = error[i] * to_keep.share[i];
    made.bound = most_loss(task, made.level);
    made.keep_bound = least_loss(task, made.keep_level);
    if (task.n > 0) made.loss = static_cast<double>(task.b - task.c) / static_cast<double>(task.n);
    if (to_replace.rejected[i]) {
      made.verdict = Verdict::kReplace;
      continue;
    }
    if (to_keep.rejected[i]) {
      made.verdict = Verdict::kKeep;
      continue;
    }
    made.verdict = Verdict::kNeedMore;
    made.hopeless = task.n > 0 && made.loss >= rule.margin;
    if (made.hopeless) continue;
    SizeQuestion question;
    question.margin = rule.margin;
    // The same units are tested again with the new ones, at what the next look spends; with nothing tested so far this
    // look is still to be spent.
    const int next = task.n > 0 ? task.look + 1 : task.look;
    question.level = look_error(rule, next) * to_replace.share[i];
    question.power = rule.power;
    question.agreement = task.agreement;
    question.max_sessions = rule.max_sessions;
    if (task.n > 0) {
      question.b_share = static_cast<double>(task.b) / static_cast<double>(task.n);
      question.c_share = static_cast<double>(task.c) / static_cast<double>(task.n);
    }
    if (const auto total = sessions_needed(question)) made.need = std::max<int64_t>(1, *total - task.n);
  }
  return out;
}

std::optional<int64_t> sessions_needed(const SizeQuestion& question) {
  if (question.b_share - question.c_share >= question.margin) return std::nullopt;
  int64_t low = 0;  // not enough
  if (question.agreement) {
    const int64_t one_by_one = std::min<int64_t>(question.max_sessions, 4096);
    int64_t limit = -1;
    for (int64_t n = 1; n <= one_by_one; ++n) {
      limit = largest_b(n, question.level, question.margin, limit);
      if (limit >= 0 && binomial_cdf(limit, n, question.b_share) >= question.power) return n;
    }
    low = one_by_one;
  }
  int64_t high = std::max<int64_t>(16, low);
  while (power_at(high, question) < question.power) {
    if (high >= question.max_sessions) return std::nullopt;
    low = high;
    high = std::min(high * 2, question.max_sessions);
  }
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (power_at(middle, question) >= question.power ? high : low) = middle;
  }
  return high;
}

}  // namespace slm::score
