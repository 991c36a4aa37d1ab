// One task put to the test: its units answered by base and tuned model, beside the baselines, all graded.
//
// Units: ms; tokens.
// Errors: those of the model and the store; kInterrupted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/time.h"
#include "evaluate/artifact.h"
#include "evaluate/baselines.h"
#include "evaluate/units.h"
#include "model/model.h"

namespace slm::evaluate {

// Which arms were right on one unit.
struct UnitOutcome {
  CallId call;
  bool llm = false, tuned = false, base = false, majority = false, nearest = false;
};

struct TrialOptions {
  std::string label;  // for progress
  score::TaskKind kind = score::TaskKind::kOpenText;
  bool by_truth = false;
  int max_new_tokens = 0;  // 0: what the longest training answer takes, and a little more
  int batch = 32;
};

struct TrialResult {
  ArmScores base, tuned, llm, majority, nearest;
  bool has_training = false;  // majority and nearest stand for something
  int64_t b = 0, c = 0, n_unanswered = 0;
  std::vector<UnitOutcome> outcomes;  // as the units
  // Absent where no unit could be answered.
  std::optional<double> latency_ms, base_latency_ms, llm_latency_ms;
  std::optional<double> tokens_per_s, tokens_per_call;  // of the tuned model
};

struct TrialInput {
  model::Model& model;
  const nn::AdapterFiles& adapter;
  const std::vector<Unit>& units;  // at least one
  const TrainingAnswers& training;
};
// The model is left without an adapter.
Result<TrialResult> run_trial(const TrialInput& input, const TrialOptions& options, Clock& clock, Progress& progress);

// Tokens that the longest of these answers takes, and room for a little more.
int answer_room(const model::Codec& codec, const std::vector<json::object>& answers);

}  // namespace slm::evaluate
