#include "evaluate/explain.h"

#include <fmt/format.h>

namespace slm::evaluate {
namespace {

std::string what_it_takes(const TaskEvaluation& task, double delta) {
  if (task.hopeless)
    return fmt::format(
        "the observed loss {:.3f} is not below the margin {:.2f}: more calls won't help, a better adapter may",
        task.loss, delta);
  if (!task.need)
    return fmt::format("at the observed loss {:.3f} it would take more than 200000 further sessions", task.loss);
  return fmt::format("about {} further held-out sessions with this task for 80 % power at the observed loss {:.3f}",
                     *task.need, task.loss);
}

}  // namespace

std::string explain(const TaskEvaluation& task, double delta, bool changed) {
  const std::string against = task.agreement ? "agreement with the logged answers" : "truth";
  const std::string after =
      changed ? "; task, candidate, grading or margin changed since the last look, so only sessions first "
                "seen after it counted"
              : "";
  if (task.verdict == kNotEvaluated)
    return fmt::format("no test of its current adapter yet: slmconv finetune {0} --lora, then slmconv evaluate",
                       task.task.value);
  const auto verdict = score::parse_verdict(task.verdict);
  switch (verdict.value_or(score::Verdict::kNotMeasurable)) {
    case score::Verdict::kReplace:
      return fmt::format("loses at most {:.3f} against {}, over {} sessions (margin {:.2f}, look {}){}",
                         task.bound.value_or(1), against, task.n, delta, task.look, after);
    case score::Verdict::kKeep:
      return fmt::format("loses at least {:.3f} against {}, over {} sessions (margin {:.2f}, look {}){}",
                         task.keep_bound.value_or(0), against, task.n, delta, task.look, after);
    case score::Verdict::kNeedMore:
      if (task.n == 0) return fmt::format("no held-out session to test it on{}; {}", after, what_it_takes(task, delta));
      return fmt::format("{} sessions against {} don't settle it: the loss may be up to {:.3f} (margin {:.2f}); {}{}",
                         task.n, against, task.bound.value_or(1), delta, what_it_takes(task, delta), after);
    case score::Verdict::kNotMeasurable:
      return "free text whose truth isn't known for every held-out session: no verdict without a grader";
  }
  return {};
}

}  // namespace slm::evaluate
