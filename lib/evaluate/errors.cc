// Showing what the tuned model got wrong, with its text.
#include <fmt/format.h>

#include <unordered_map>

#include "evaluate/baselines.h"
#include "evaluate/setting.h"
#include "evaluate/trial.h"
#include "schema/artifacts.h"

namespace slm::evaluate {
namespace {

// Calls of one task that an evaluation counts as wrong, the first n.
Result<std::vector<CallId>> wrong_calls(store::Store& store, const std::string& evaluation, const TaskId& task,
                                        int64_t n) {
  const auto dir = artifact_dir(store.dir(), kStep, evaluation);
  SLM_TRY(const Bytes bytes,
          store.open_sealed_file(sealed_path(dir, kOutcomesFile), sealed_name(evaluation, kOutcomesFile)));
  std::vector<CallId> out;
  std::string_view rest = as_text(bytes);
  while (!rest.empty() && static_cast<int64_t>(out.size()) < n) {
    const size_t end = rest.find('\n');
    SLM_TRY(const json::value line, parse_json(rest.substr(0, end)));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    SLM_TRY(const json::object* unit, want_object(line, "outcome"));
    if (get_string(*unit, "task") != task.value || get_bool(*unit, "tuned").value_or(true)) continue;
    SLM_TRY(const CallId call, parse_call_id(get_string(*unit, "call")));
    out.push_back(call);
  }
  return out;
}

std::vector<uint32_t> rows_of(const dataset::View& view, const std::vector<CallId>& calls) {
  std::unordered_map<CallId, uint32_t> index;
  for (uint32_t i = 0; i < view.rows().size(); ++i) index.emplace(view.rows()[i].id, i);
  std::vector<uint32_t> out;
  for (const CallId& call : calls)
    if (const auto found = index.find(call); found != index.end()) out.push_back(found->second);
  return out;
}

Result<std::vector<model::Answer>> answer_again(model::Model& model, const nn::AdapterFiles& adapter,
                                                const std::vector<Unit>& units, const model::GenerateOptions& options) {
  std::vector<model::Prompt> prompts;
  for (const Unit& unit : units) prompts.push_back(unit.prompt);
  SLM_CHECK(model.engine().set_adapter(adapter));
  auto answers = model.generate(prompts, options);
  model.engine().clear_adapter();
  return answers;
}

}  // namespace

Status show_errors(const EvaluateContext& context, const EvaluateOptions& options, int64_t n,
                   const std::function<Status(const ErrorExample&)>& visit) {
  SLM_TRY(const Setting setting, open_setting(context.store));
  if (!setting.previous)
    return fail(ErrorCode::kManifestMismatch, "nothing has been evaluated yet", "slmconv evaluate");
  SLM_TRY(const std::vector<size_t> chosen, choose_tasks(setting, context.store.dir(), options.tasks));
  Bases bases(context, options.engine);
  for (const size_t task : chosen) {
    const PastTest* tested = setting.before(task);
    if (!tested) continue;
    const TaskEvaluation* row = &tested->task;
    SLM_TRY(const finetune::LoadedAdapter adapter, finetune::load_adapter(context.store, row->task));
    if (adapter.manifest.id != row->adapter)
      return fail(ErrorCode::kManifestMismatch,
                  fmt::format("adapter {} of {} is newer than its evaluation", adapter.manifest.id, row->task.value),
                  fmt::format("slmconv evaluate --tasks {}", row->task.value));
    SLM_TRY(const std::vector<CallId> calls, wrong_calls(context.store, row->tested_in, row->task, n));
    SLM_CHECK(context.store.audit("show_errors", fmt::format("{} calls of {}", calls.size(), row->task.value)));
    SLM_TRY(const std::vector<Unit> units,
            load_units(setting.view, context.store, rows_of(setting.view, calls), !row->agreement));
    if (units.empty()) continue;
    SLM_TRY(model::Model * model, bases.open(adapter));
    TrainingOptions training_options;
    training_options.task = static_cast<uint32_t>(task);
    SLM_TRY(const TrainingAnswers training, load_training(setting.view, context.store, training_options));
    model::GenerateOptions generate;
    generate.batch = options.batch;
    generate.max_new_tokens =
        options.max_new_tokens > 0 ? options.max_new_tokens : answer_room(model->codec(), training.answers);
    SLM_TRY(const std::vector<model::Answer> answers, answer_again(*model, adapter.files, units, generate));
    for (size_t i = 0; i < units.size(); ++i)
      SLM_CHECK(visit({row->task, units[i].id, units[i].prompt.messages, units[i].reference, answers[i].message}));
  }
  return {};
}

}  // namespace slm::evaluate
