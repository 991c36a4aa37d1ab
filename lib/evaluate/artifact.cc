#include "evaluate/artifact.h"

#include <fmt/format.h>

#include <algorithm>

#include "schema/artifacts.h"

namespace slm::evaluate {
namespace {

constexpr std::string_view kWhat = "evaluation";

json::value optional_number(const std::optional<double>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::value optional_count(const std::optional<int64_t>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

struct ArmField {
  std::string_view key;
  double ArmScores::*member;
};
constexpr ArmField kArmFields[] = {{"exact", &ArmScores::exact},
                                   {"json_fields", &ArmScores::json_fields},
                                   {"tool_names", &ArmScores::tool_names},
                                   {"tool_arguments", &ArmScores::tool_arguments},
                                   {"token_f1", &ArmScores::token_f1}};

struct Arm {
  std::string_view key;
  std::optional<ArmScores> TaskEvaluation::*member;
};
constexpr Arm kArms[] = {{"base", &TaskEvaluation::base},
                         {"tuned", &TaskEvaluation::tuned},
                         {"llm", &TaskEvaluation::llm},
                         {"majority", &TaskEvaluation::majority},
                         {"nearest", &TaskEvaluation::nearest}};

struct TimingField {
  std::string_view key;
  std::optional<double> TaskTiming::*member;
};
constexpr TimingField kTimingFields[] = {{"latency_ms", &TaskTiming::latency_ms},
                                         {"base_latency_ms", &TaskTiming::base_latency_ms},
                                         {"llm_latency_ms", &TaskTiming::llm_latency_ms},
                                         {"tokens_per_s", &TaskTiming::tokens_per_s},
                                         {"tokens_per_call", &TaskTiming::tokens_per_call},
                                         {"cost_usd", &TaskTiming::cost_usd},
                                         {"saving_if_replaced_usd", &TaskTiming::saving_if_replaced_usd},
                                         {"saving_usd", &TaskTiming::saving_usd}};

struct TextField {
  std::string_view key;
  std::string TaskEvaluation::*member;
};
constexpr TextField kTextFields[] = {{"name", &TaskEvaluation::name},
                                     {"verdict", &TaskEvaluation::verdict},
                                     {"reason", &TaskEvaluation::reason},
                                     {"candidate", &TaskEvaluation::candidate},
                                     {"units", &TaskEvaluation::units},
                                     {"tested_in", &TaskEvaluation::tested_in},
                                     {"barrier", &TaskEvaluation::barrier},
                                     {"adapter", &TaskEvaluation::adapter},
                                     {"base_model", &TaskEvaluation::base_model}};

json::value arm_json(const std::optional<ArmScores>& arm) {
  if (!arm) return nullptr;
  json::object out;
  for (const ArmField& field : kArmFields) out[field.key] = (*arm).*field.member;
  return out;
}

}  // namespace

const TaskEvaluation* Evaluation::find(const TaskId& task) const {
  const auto found = std::find_if(tasks.begin(), tasks.end(), [&](const TaskEvaluation& t) { return t.task == task; });
  return found == tasks.end() ? nullptr : &*found;
}

bool Evaluation::knows(const TaskId& task) const {
  return find(task) ||
         std::any_of(history.begin(), history.end(), [&](const PastTest& t) { return t.task.task == task; });
}

json::object to_json(const TaskEvaluation& task) {
  json::object out;
  out["task"] = task.task.value;
  out["kind"] = score::kind_name(task.kind);
  for (const TextField& field : kTextFields) out[field.key] = task.*field.member;
  out["agreement"] = task.agreement;
  out["n"] = task.n;
  for (const Arm& arm : kArms) out[arm.key] = arm_json(task.*arm.member);
  out["b"] = task.b;
  out["c"] = task.c;
  out["loss"] = task.loss;
  out["p_replace"] = task.p_replace;
  out["p_keep"] = task.p_keep;
  out["level"] = task.level;
  out["bound"] = optional_number(task.bound);
  out["keep_bound"] = optional_number(task.keep_bound);
  out["hopeless"] = task.hopeless;
  out["need"] = optional_count(task.need);
  out["p_base"] = optional_number(task.p_base);
  out["p_majority"] = optional_number(task.p_majority);
  out["p_nearest"] = optional_number(task.p_nearest);
  out["fallback_share"] = task.fallback_share;
  out["n_unanswered"] = task.n_unanswered;
  out["n_train"] = task.n_train;
  out["look"] = task.look;
  return out;
}

Result<TaskEvaluation> task_evaluation_from_json(const json::value& value) {
  SLM_TRY(const json::object* row, want_object(value, kWhat));
  TaskEvaluation out;
  SLM_TRY(out.task.value, want_string(*row, "task", kWhat));
  SLM_TRY(const std::string kind, want_string(*row, "kind", kWhat));
  const auto parsed = score::parse_kind(kind);
  if (!parsed)
    return fail(ErrorCode::kBadInput, fmt::format("{}: unknown kind \"{}\"", kWhat, kind), "slmconv evaluate");
  out.kind = *parsed;
  for (const TextField& field : kTextFields) out.*field.member = std::string(get_string(*row, field.key));
  out.agreement = get_bool(*row, "agreement").value_or(true);
  SLM_TRY(out.n, want_int(*row, "n", kWhat));
  for (const Arm& arm : kArms) {
    const json::object* scores = get_object(*row, arm.key);
    if (!scores) continue;
    (out.*arm.member).emplace();
    for (const ArmField& field : kArmFields)
      (*(out.*arm.member)).*field.member = get_number(*scores, field.key).value_or(0);
  }
  out.b = get_int(*row, "b").value_or(0);
  out.c = get_int(*row, "c").value_or(0);
  out.loss = get_number(*row, "loss").value_or(0);
  out.p_replace = get_number(*row, "p_replace").value_or(1);
  out.p_keep = get_number(*row, "p_keep").value_or(1);
  out.level = get_number(*row, "level").value_or(0);
  out.bound = get_number(*row, "bound");
  out.keep_bound = get_number(*row, "keep_bound");
  out.hopeless = get_bool(*row, "hopeless").value_or(false);
  out.need = get_int(*row, "need");
  out.p_base = get_number(*row, "p_base");
  out.p_majority = get_number(*row, "p_majority");
  out.p_nearest = get_number(*row, "p_nearest");
  out.fallback_share = get_number(*row, "fallback_share").value_or(0);
  out.n_unanswered = get_int(*row, "n_unanswered").value_or(0);
  out.n_train = get_int(*row, "n_train").value_or(0);
  out.look = static_cast<int>(get_int(*row, "look").value_or(0));
  return out;
}

json::object to_json(const TaskTiming& timing) {
  json::object out;
  for (const TimingField& field : kTimingFields) out[field.key] = optional_number(timing.*field.member);
  return out;
}

TaskTiming task_timing_from_json(const json::object& row) {
  TaskTiming out;
  for (const TimingField& field : kTimingFields) out.*field.member = get_number(row, field.key);
  return out;
}

Result<Evaluation> load_evaluation(const std::filesystem::path& store_dir) {
  Evaluation out;
  SLM_TRY(out.manifest, read_current(store_dir, kStep));
  const json::object& summary = out.manifest.summary;
  out.delta = get_number(summary, "delta").value_or(out.delta);
  const json::array* tasks = get_array(summary, "tasks");
  if (!tasks)
    return fail(ErrorCode::kBadInput, fmt::format("{} {}: no tasks", kWhat, out.manifest.id), "slmconv evaluate");
  SLM_TRY(const json::value value, read_json_file(artifact_dir(store_dir, kStep, out.manifest.id) / "timing.json"));
  SLM_TRY(const json::object* timing, want_object(value, "timing.json"));
  out.prices = std::string(get_string(*timing, "prices"));
  const json::object* rows = get_object(*timing, "tasks");
  for (const auto& item : *tasks) {
    SLM_TRY(TaskEvaluation task, task_evaluation_from_json(item));
    const json::object* row = rows ? get_object(*rows, task.task.value) : nullptr;
    out.timings.push_back(row ? task_timing_from_json(*row) : TaskTiming());
    out.tasks.push_back(std::move(task));
  }
  const json::object* old_rows = get_object(*timing, "history");
  if (const json::array* history = get_array(summary, "history"))
    for (const auto& item : *history) {
      PastTest past;
      SLM_TRY(past.task, task_evaluation_from_json(item));
      const json::object* row = old_rows ? get_object(*old_rows, past.task.task.value) : nullptr;
      if (row) past.timing = task_timing_from_json(*row);
      out.history.push_back(std::move(past));
    }
  return out;
}

}  // namespace slm::evaluate
