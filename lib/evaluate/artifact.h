// What evaluation leaves behind: per task the arms side by side on held-out sessions, the verdict with its bound, and
// what replacing would save. Public: counts and scores, no text of a call. Other steps use this header alone.
//
// STORE/artifacts/evaluate/<id>/: manifest.json, whose summary is the result; timing.json, what depends on the machine
// (not part of the digest); outcomes.jsonl.sealed, one line a unit by call id; seen.sealed, the sessions known then.
// Units: ratios in [0,1]; ms; tokens; usd per 30 days.
// Errors: kManifestMismatch when nothing was evaluated yet, kBadInput on a damaged file, kIo.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/ids.h"
#include "schema/manifest.h"
#include "score/kind.h"
#include "score/verdict.h"

namespace slm::evaluate {

inline constexpr std::string_view kStep = "evaluate";
inline constexpr std::string_view kNotEvaluated = "not_evaluated";

// Means over the units of one arm, against truth or, without it, the logged answer.
struct ArmScores {
  double exact = 0;           // by the rule of the task's kind; what the verdict counts
  double json_fields = 0;     // json only
  double tool_names = 0;      // tool_call only
  double tool_arguments = 0;  // tool_call only
  double token_f1 = 0;
};

struct TaskEvaluation {
  TaskId task;
  std::string name;
  score::TaskKind kind = score::TaskKind::kOpenText;
  std::string verdict{kNotEvaluated};  // a score::verdict_name, or not_evaluated (no adapter yet)
  std::string reason;                  // for people: why, and what to do next
  bool agreement = true;               // against the logged answer; false: against truth that every unit has
  int64_t n = 0;                       // units: one call a session group
  // Absent where not measured; llm also under agreement, where it is right by construction.
  std::optional<ArmScores> base, tuned, llm, majority, nearest;
  int64_t b = 0, c = 0;  // llm right and tuned wrong; the reverse
  double loss = 0;       // (b - c) / n
  double p_replace = 1, p_keep = 1, level = 0;
  std::optional<double> bound;       // the loss is at most this, at the task's Holm level
  std::optional<double> keep_bound;  // the loss is at least this, at its level in the reverse test
  bool hopeless = false;             // need_more, and more calls won't help
  std::optional<int64_t> need;       // need_more: further session groups of this task on the test side
  // Exact McNemar of tuned against the others; printed, never decides.
  std::optional<double> p_base, p_majority, p_nearest;
  double fallback_share = 0;  // of the task's calls: outliers, which stay with the large model
  int64_t n_unanswered = 0;   // units whose prompt the small model can't take (too long, refused): wrong
  int64_t n_train = 0;        // training calls that majority and nearest were drawn from
  // What may be looked at again.
  int look = 0;                     // m; 0: this row is no test
  std::string candidate;            // digest of adapter, base, grading, margin and generation
  std::string units;                // keyed digest of the units
  std::string tested_in;            // evaluation that tested it; "" = this one
  std::string barrier;              // evaluation whose sessions this candidate may not be tested on; "" = none
  std::string adapter, base_model;  // id; folder name of the base
};

// What depends on the machine and the day's prices.
struct TaskTiming {
  std::optional<double> latency_ms;  // a call of the tuned model, in batches
  std::optional<double> base_latency_ms, llm_latency_ms;
  std::optional<double> tokens_per_s, tokens_per_call;  // of the tuned model, prompt and answer together
  std::optional<double> cost_usd;                       // of the large model, as logged
  std::optional<double> saving_if_replaced_usd;
  std::optional<double> saving_usd;  // under the verdict `replace` only
};

// A test as it was made.
struct PastTest {
  TaskEvaluation task;
  TaskTiming timing;
};

struct Evaluation {
  Manifest manifest;
  double delta = 0.05;
  std::vector<TaskEvaluation> tasks;
  std::vector<TaskTiming> timings;  // one a task, in the same order
  // The last test of tasks whose row above isn't that test: they left the map, or another candidate waits for sessions.
  std::vector<PastTest> history;
  std::string prices;  // date and source of the prices used, for people
  const TaskEvaluation* find(const TaskId& task) const;
  // Was this task in the map when the evaluation, or one before it, was made?
  bool knows(const TaskId& task) const;
};
// The current evaluation of a store; needs no identity.
Result<Evaluation> load_evaluation(const std::filesystem::path& store_dir);

json::object to_json(const TaskEvaluation& task);
Result<TaskEvaluation> task_evaluation_from_json(const json::value& value);
json::object to_json(const TaskTiming& timing);
TaskTiming task_timing_from_json(const json::object& row);

}  // namespace slm::evaluate
