#include "evaluate/trial.h"

#include <fmt/format.h>

#include <algorithm>

#include "score/match.h"

namespace slm::evaluate {
namespace {

constexpr size_t kMostNewTokens = 2048;
constexpr size_t kSpare = 8;       // tokens beyond the longest training answer
constexpr int kUnknownRoom = 256;  // where no training answer says
constexpr size_t kLongestLookedAt = 64;

// Sums grades; mean() divides.
class Tally {
 public:
  void add(const score::Grade& grade) {
    ++n_;
    sum_.exact += grade.exact;
    sum_.json_fields += grade.json_fields;
    sum_.tool_names += grade.tool_names;
    sum_.tool_arguments += grade.tool_arguments;
    sum_.token_f1 += grade.token_f1;
  }
  ArmScores mean() const {
    ArmScores out = sum_;
    const auto n = static_cast<double>(std::max<int64_t>(n_, 1));
    for (double* value : {&out.exact, &out.json_fields, &out.tool_names, &out.tool_arguments, &out.token_f1})
      *value /= n;
    return out;
  }

 private:
  ArmScores sum_;
  int64_t n_ = 0;
};

struct Generated {
  std::vector<model::Answer> answers;
  double seconds = 0;
};

Result<Generated> answer_all(model::Model& model, const std::vector<model::Prompt>& prompts,
                             const model::GenerateOptions& options, Clock& clock, Progress& progress) {
  Generated out;
  const double started_s = clock.monotonic_s();
  SLM_TRY(out.answers, model.generate(prompts, options, [&](size_t n) { progress.advance(n); }));
  out.seconds = clock.monotonic_s() - started_s;
  if (out.answers.size() != prompts.size())
    return fail(ErrorCode::kUnexpected, fmt::format("{} answers to {} prompts", out.answers.size(), prompts.size()));
  return out;
}

bool is_unanswered(const model::Answer& answer) { return answer.too_long || answer.refused; }

std::optional<double> mean_latency(const std::vector<model::Answer>& answers) {
  double sum = 0;
  int64_t n = 0;
  for (const model::Answer& answer : answers) {
    if (is_unanswered(answer)) continue;
    sum += answer.latency_ms;
    ++n;
  }
  if (n == 0) return std::nullopt;
  return sum / static_cast<double>(n);
}

// A prompt that the model can't take has no answer: wrong, whatever the reference.
score::Grade graded(score::TaskKind kind, const model::Answer& answer, const json::object& reference) {
  return is_unanswered(answer) ? score::Grade() : score::grade(kind, answer.message, reference);
}

void measure_speed(const Generated& tuned, TrialResult& out) {
  int64_t n_tokens = 0, n_answered = 0;
  for (const model::Answer& answer : tuned.answers) {
    out.n_unanswered += is_unanswered(answer);
    if (is_unanswered(answer)) continue;
    n_tokens += answer.n_prompt + answer.n_new;
    ++n_answered;
  }
  out.latency_ms = mean_latency(tuned.answers);
  if (n_answered == 0) return;
  if (tuned.seconds > 0) out.tokens_per_s = static_cast<double>(n_tokens) / tuned.seconds;
  out.tokens_per_call = static_cast<double>(n_tokens) / static_cast<double>(n_answered);
}

// Both models on all units; the model keeps no adapter, also when a step fails.
struct BothArms {
  Generated base, tuned;
};
Result<BothArms> answer_both(const TrialInput& input, const TrialOptions& options, Clock& clock, Progress& progress) {
  std::vector<model::Prompt> prompts;
  prompts.reserve(input.units.size());
  for (const Unit& unit : input.units) prompts.push_back(unit.prompt);
  model::GenerateOptions generate;
  generate.batch = options.batch;
  generate.max_new_tokens =
      options.max_new_tokens > 0 ? options.max_new_tokens : answer_room(input.model.codec(), input.training.answers);

  BothArms out;
  input.model.engine().clear_adapter();
  progress.start(fmt::format("{}: base", options.label), prompts.size());
  SLM_TRY(out.base, answer_all(input.model, prompts, generate, clock, progress));
  progress.finish();
  SLM_CHECK(input.model.engine().set_adapter(input.adapter));
  progress.start(fmt::format("{}: tuned", options.label), prompts.size());
  auto tuned = answer_all(input.model, prompts, generate, clock, progress);
  progress.finish();
  input.model.engine().clear_adapter();
  SLM_TRY(out.tuned, std::move(tuned));
  return out;
}

}  // namespace

int answer_room(const model::Codec& codec, const std::vector<json::object>& answers) {
  // The longest in tokens is among the longest in bytes.
  std::vector<std::pair<size_t, size_t>> by_size;
  for (size_t i = 0; i < answers.size(); ++i) by_size.emplace_back(json::serialize(answers[i]).size(), i);
  std::sort(by_size.rbegin(), by_size.rend());
  if (by_size.size() > kLongestLookedAt) by_size.resize(kLongestLookedAt);
  const model::Prompt prompt{{json::object{{"role", "user"}, {"content", "-"}}}, {}};
  size_t longest = 0;
  for (const auto& [bytes, i] : by_size)
    if (const auto example = codec.encode_example(prompt, answers[i]))
      longest = std::max(longest, example->ids.size() - example->n_prompt);
  if (longest == 0) return kUnknownRoom;
  return static_cast<int>(std::min<size_t>(longest + kSpare, kMostNewTokens));
}

Result<TrialResult> run_trial(const TrialInput& input, const TrialOptions& options, Clock& clock, Progress& progress) {
  TrialResult out;
  out.has_training = !input.training.answers.empty();
  SLM_TRY(const BothArms arms, answer_both(input, options, clock, progress));
  const json::object majority = majority_answer(options.kind, input.training.answers);
  std::vector<size_t> nearest;
  if (out.has_training) {
    SLM_TRY(nearest, nearest_requests(input.training, input.units));
  }

  Tally base, tuned, llm, by_majority, by_nearest;
  double llm_ms = 0;
  int64_t n_llm_ms = 0;
  for (size_t i = 0; i < input.units.size(); ++i) {
    const Unit& unit = input.units[i];
    UnitOutcome outcome;
    outcome.call = unit.id;
    const auto note = [&](Tally& tally, const score::Grade& grade) {
      tally.add(grade);
      return grade.exact;
    };
    outcome.base = note(base, graded(options.kind, arms.base.answers[i], unit.reference));
    outcome.tuned = note(tuned, graded(options.kind, arms.tuned.answers[i], unit.reference));
    outcome.llm = note(llm, score::grade(options.kind, unit.logged, unit.reference));
    if (out.has_training) {
      outcome.majority = note(by_majority, score::grade(options.kind, majority, unit.reference));
      outcome.nearest =
          note(by_nearest, score::grade(options.kind, input.training.answers[nearest[i]], unit.reference));
    }
    out.b += outcome.llm && !outcome.tuned;
    out.c += !outcome.llm && outcome.tuned;
    out.outcomes.push_back(outcome);
    if (unit.llm_latency_ms) {
      llm_ms += *unit.llm_latency_ms;
      ++n_llm_ms;
    }
  }
  out.base = base.mean();
  out.tuned = tuned.mean();
  out.llm = llm.mean();
  out.majority = by_majority.mean();
  out.nearest = by_nearest.mean();
  if (n_llm_ms > 0) out.llm_latency_ms = llm_ms / static_cast<double>(n_llm_ms);
  out.base_latency_ms = mean_latency(arms.base.answers);
  measure_speed(arms.tuned, out);
  return out;
}

}  // namespace slm::evaluate
