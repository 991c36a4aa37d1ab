// What answers a task without any model: the commonest training answer, and the answer of the nearest training request.
// A tuned model that can't beat them has learnt nothing.
//
// Nearest: largest cosine of character 3-5-gram TF-IDF fitted on the training requests; ties go to the earlier call.
// Memory: requests are cut to what the n-grams look at; `max_examples` bounds their number, evenly over the side.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "dataset/view.h"
#include "embed/ngrams.h"
#include "evaluate/units.h"
#include "score/kind.h"

namespace slm::evaluate {

struct TrainingAnswers {
  std::vector<std::string> requests;  // text, see request_text
  std::vector<json::object> answers;  // truth where known, else as logged
};
struct TrainingOptions {
  uint32_t task = 0;
  int64_t max_examples = 20000;
};
Result<TrainingAnswers> load_training(const dataset::View& view, store::Store& store, const TrainingOptions& options);

// What of a request can tell it from others, newest message first, at most `max_bytes`.
std::string request_text(const json::array& messages, size_t max_bytes);

// The commonest answer by canonical form; ties go to the smaller form. Empty without training answers.
json::object majority_answer(score::TaskKind kind, const std::vector<json::object>& answers);

// For each unit the index of the nearest training request.
// Requires: at least one training request.
// Errors: those of the n-grams.
Result<std::vector<size_t>> nearest_requests(const TrainingAnswers& training, std::span<const Unit> units);

}  // namespace slm::evaluate
