// Thresholds for continuous integration: a TOML file against an evaluation.
//
//   replace_at_least = 3          # so many tasks must have the verdict `replace`
//   [all]                         # every task that can be measured
//   tuned = 0.90                  # share of units right, at least
//   gain = 0.20                   # tuned - base, at least
//   bound = 0.10                  # the loss is at most this
//   verdict = "replace"
//   [task.t03]                    # one task by id or name; takes the place of [all] for it
//   verdict = "keep"
//
// Units: ratios in [0,1].
// Errors: kBadInput naming the key, kIo.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "evaluate/artifact.h"

namespace slm::evaluate {

enum class CheckState { kMet, kUnmet, kInsufficient };  // insufficient: too little evidence to say

struct GateCheck {
  std::string task;  // id; "" for all together
  std::string name;  // of the threshold: "tuned", "gain", "bound", "verdict", "replace_at_least"
  CheckState state = CheckState::kMet;
  std::string message;  // value and bound
};
struct GateResult {
  std::vector<GateCheck> checks;
  // kOk; kQualityGate if any check isn't met; else kInsufficientEvidence if any has too little evidence.
  ErrorCode code() const;
  int64_t n_failed() const;
};

struct Threshold {
  std::optional<double> tuned, gain, bound;
  std::optional<std::string> verdict;
};
struct Gate {
  std::optional<int64_t> replace_at_least;
  std::optional<Threshold> all;
  std::vector<std::pair<std::string, Threshold>> tasks;
};
Result<Gate> read_gate(const std::filesystem::path& path);
// Errors: kBadInput when the file names a task that isn't there.
Result<GateResult> check_gate(const Gate& gate, const Evaluation& evaluation);

// A JUnit file: one test case a check, or without a gate one a task (failed: keep; skipped: no verdict yet).
std::string junit_xml(const Evaluation& evaluation, const std::optional<GateResult>& gate);

}  // namespace slm::evaluate
