// S6: tuned models against the logged large one on sessions never trained on, task by task; the verdict, its bound, and
// what replacing would save.
//
// Per task with an adapter: one call a session group of the test side is answered by the base and by the tuned model,
// and graded beside the logged answer, the commonest and the nearest training answer, against truth where every unit
// has it, else against the logged answer. What was tested on the same units before, with the same candidate, isn't
// generated again.
//
// Requires: a store opened as trainer, for writing artefacts; a task map; adapters.
// Units: ratios in [0,1]; usd.
// Errors: kManifestMismatch (no adapter; one of another base), kBadInput (no such task),
//   kUsage (options out of range), kInterrupted (nothing is written), those of the store and the model.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/time.h"
#include "evaluate/artifact.h"
#include "model/model.h"
#include "store/store.h"

namespace slm::evaluate {

struct EvaluateOptions {
  std::vector<std::string> tasks;  // ids or names; empty: every task with an adapter
  double delta = 0.05;             // margin, in (0,1)
  int64_t max_sessions = 2000;     // units a task, at most; 0: all
  int max_new_tokens = 0;          // 0: what the longest training answer takes
  int batch = 32;                  // calls answered together
  nn::EngineOptions engine;
  std::filesystem::path prices;        // empty: the list inside the program
  double machine_usd_per_hour = 0.20;  // of the machine that would serve, fully used
  double log_days = 0;                 // days that the log spans; 0: by its timestamps
};

using OpenModel =
    std::function<Result<std::unique_ptr<model::Model>>(const std::filesystem::path& dir, const nn::EngineOptions&)>;

struct EvaluateContext {
  store::Store& store;
  Clock& clock;
  Progress& progress;
  OpenModel open_model = &model::Model::open;
};

struct EvaluateResult {
  Evaluation evaluation;
  bool changed = false;
};
Result<EvaluateResult> evaluate_tasks(const EvaluateContext& context, const EvaluateOptions& options);

// A unit that the tuned model got wrong, with its text: for a role that may read it, and audited.
struct ErrorExample {
  TaskId task;
  CallId call;
  json::array messages;
  json::object reference, answer;
};
// Answers again, with the current adapters, the first n units a task that the current evaluation counts as wrong.
// Errors: as evaluate_tasks; kManifestMismatch when the adapter has changed since.
Status show_errors(const EvaluateContext& context, const EvaluateOptions& options, int64_t n,
                   const std::function<Status(const ErrorExample&)>& visit);

}  // namespace slm::evaluate
