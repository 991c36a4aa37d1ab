// May the small model replace the large one, task by task? The rule, and how many sessions it still takes.
//
// Per task, n units (one call a session group): b units where the large model is right and the small one wrong, c the
// reverse. The loss b/n - c/n in the population must be shown to be at most the margin.
//   p_replace = smallest alpha at which U(b) - L(c) ≤ margin: Clopper-Pearson bounds, one-sided at 1 - alpha/2 each; at
//               1 - alpha on b alone where c = 0 by construction (agreement with the log); 1 if none
//   p_keep    = smallest alpha at which L(b) - U(c) ≥ margin, likewise
//   replace   = Holm over every measurable task at A_m = total_error · 6/(π² m²), m the look, rejects p_replace
//   keep      = the same for p_keep; else need_more
// The A_m of all looks add up to total_error, and the two halves of alpha cover b and c, so the chance that any task is
// ever called `replace` whose loss exceeds the margin is at most total_error, over all tasks and looks.
//
// Units: shares and margins in [0,1]; needs in session groups.
// Source: Clopper and Pearson 1934; Holm, Scand. J. Statist. 6 (1979) 65; the look's share from Σ 1/m² = π²/6.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace slm::score {

struct VerdictRule {
  double margin = 0.05;           // δ, in (0,1)
  double total_error = 0.05;      // over all tasks and all looks, for ever
  double power = 0.8;             // what need_more plans for
  int64_t max_sessions = 200000;  // beyond this a need is given as none
};

struct TaskEvidence {
  bool measurable = true;
  bool agreement = true;        // the logged answer counts as right: c = 0 by construction
  int look = 1;                 // m: how often this task's candidates have been tested, this time included
  int64_t n = 0, b = 0, c = 0;  // c must be 0 under agreement
};

enum class Verdict { kReplace, kKeep, kNeedMore, kNotMeasurable };
std::string_view verdict_name(Verdict verdict);  // "replace", "keep", "need_more", "not_measurable"
std::optional<Verdict> parse_verdict(std::string_view name);

struct Decision {
  Verdict verdict = Verdict::kNotMeasurable;
  double loss = 0;  // (b - c) / n as observed; 0 if n = 0
  double p_replace = 1, p_keep = 1;
  double level = 0;  // Holm level of this task in the test of replace
  double bound = 1;  // the loss is at most this, at that level; ≤ margin exactly when the verdict is replace
  double keep_level = 0;
  double keep_bound = -1;  // the loss is at least this, at keep_level
  // need_more only:
  bool hopeless = false;        // observed loss ≥ margin: more calls won't help
  std::optional<int64_t> need;  // further session groups for `power` at the observed loss at the next look; none beyond
                                // max_sessions, or if hopeless
};

// A_m.
double look_error(const VerdictRule& rule, int look);

// One decision per task, in order. Every measurable task of the map belongs in here, tested this time or not (n = 0),
// or Holm would forget it.
std::vector<Decision> decide(std::span<const TaskEvidence> tasks, const VerdictRule& rule);

// The two parts of it, for one task.
double p_replace(const TaskEvidence& task, double margin);
double p_keep(const TaskEvidence& task, double margin);

// Smallest n at which `replace` is reached with probability ≥ power at true shares b and c; none beyond max_sessions.
// The power is a saw-tooth in n: larger n may dip below again. Beyond 4096, and where c can be other than 0, the search
// doubles and halves, and may step over a tooth.
struct SizeQuestion {
  double margin = 0.05, level = 0.05, power = 0.8;
  double b_share = 0, c_share = 0;
  bool agreement = true;
  int64_t max_sessions = 200000;
};
std::optional<int64_t> sessions_needed(const SizeQuestion& question);

}  // namespace slm::score
