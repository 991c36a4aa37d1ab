#include "evaluate/setting.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"
#include "schema/artifacts.h"
#include "scrub/artifact.h"
#include "select/artifact.h"

namespace slm::evaluate {
namespace {

// Changes when the rules of grading do: an answer graded otherwise is another test.
constexpr int kGrading = 1;

}  // namespace

std::filesystem::path sealed_path(const std::filesystem::path& dir, std::string_view file) {
  return dir / fmt::format("{}.sealed", file);
}

std::string sealed_name(std::string_view evaluation, std::string_view file) {
  return fmt::format("{}/{}/{}", kStep, evaluation, file);
}

Result<Setting> open_setting(store::Store& store) {
  SLM_TRY(cluster::LoadedTasks tasks, cluster::load_tasks(store));
  std::unordered_map<CallId, dataset::View::TaskOf> task_of;
  task_of.reserve(tasks.calls.size());
  for (const cluster::AssignedCall& call : tasks.calls) task_of[call.id] = {call.task, call.outlier};
  SLM_TRY(dataset::View view, dataset::View::build(store, task_of, "evaluate"));
  Setting out{std::move(tasks), std::move(task_of), std::move(view), {}, std::nullopt, {}};
  if (current_artifact(store.dir(), scrub::kStep)) {
    SLM_TRY(const scrub::Report scrubbed, scrub::load_report(store.dir()));
    out.linked.insert(scrubbed.linked_groups.begin(), scrubbed.linked_groups.end());
  }
  if (!current_artifact(store.dir(), kStep)) return out;
  SLM_TRY(out.previous, load_evaluation(store.dir()));
  const auto remember = [&](PastTest test) {
    if (test.task.look == 0) return;
    if (test.task.tested_in.empty()) test.task.tested_in = out.previous->manifest.id;
    out.past[test.task.task.value] = std::move(test);
  };
  for (const PastTest& test : out.previous->history) remember(test);
  for (size_t i = 0; i < out.previous->tasks.size(); ++i) remember({out.previous->tasks[i], out.previous->timings[i]});
  return out;
}

Result<std::vector<size_t>> choose_tasks(const Setting& setting, const std::filesystem::path& store_dir,
                                         const std::vector<std::string>& names) {
  const auto& tasks = setting.tasks.map.tasks();
  std::vector<size_t> out;
  if (names.empty()) {
    for (size_t i = 0; i < tasks.size(); ++i)
      if (!tasks[i].excluded && current_artifact(store_dir, finetune::kStep, tasks[i].id.value)) out.push_back(i);
    if (out.empty())
      return fail(ErrorCode::kManifestMismatch, fmt::format("none of the {} tasks has an adapter yet", tasks.size()),
                  "slmconv finetune --all --lora");
    return out;
  }
  for (const std::string& name : names) {
    const cluster::TaskInfo* info = setting.tasks.map.find(std::string_view(name));
    if (!info)
      return fail(ErrorCode::kBadInput, fmt::format("no task {} among {}", name, tasks.size()), "slmconv report tasks");
    if (info->excluded)
      return fail(ErrorCode::kBadInput, fmt::format("task {} is excluded in tasks.toml", name), "slmconv report tasks");
    const auto index = static_cast<size_t>(info - tasks.data());
    if (std::find(out.begin(), out.end(), index) == out.end()) out.push_back(index);
  }
  std::sort(out.begin(), out.end());
  return out;
}

Result<Manifest> fitting_adapter(const Setting& setting, store::Store& store, size_t task, Progress& progress) {
  const TaskId& id = setting.info(task).id;
  SLM_TRY(Manifest adapter, finetune::adapter_manifest(store.dir(), id));
  const auto made_from = adapter.inputs.find("tasks");
  if (made_from == adapter.inputs.end() || made_from->second != setting.tasks.manifest.digest())
    progress.warn(fmt::format(
        "the adapter of {} was trained on an earlier task map; it is tested on the task as it is now", id.value));
  return adapter;
}

std::string candidate_digest(const Manifest& adapter, score::TaskKind kind, const EvaluateOptions& options) {
  json::object what;
  for (const auto& [file, digest] : adapter.outputs) what[file] = digest;
  what["base_digest"] = get_string(adapter.config, "base_digest");
  if (const auto quantisation = get_string(adapter.config, "base_quantisation"); !quantisation.empty())
    what["base_quantisation"] = quantisation;
  what["kind"] = score::kind_name(kind);
  what["delta"] = options.delta;
  what["max_new_tokens"] = options.max_new_tokens;
  what["dtype"] = static_cast<int>(options.engine.dtype);
  what["grading"] = kGrading;
  return sha256_hex(canonical_json(what));
}

Result<model::Model*> Bases::open(const finetune::LoadedAdapter& adapter) {
  if (!model_ || path_ != adapter.base) {
    model_.reset();
    SLM_TRY(digest_, select::model_digest(adapter.base));
    path_ = adapter.base;
  }
  if (digest_ != adapter.base_digest)
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("{} isn't the base that adapter {} was trained on", path_.string(), adapter.manifest.id),
                "slmconv finetune --all --lora");
  if (!model_ || nf4_ != adapter.files.nf4_base) {
    model_.reset();
    nn::EngineOptions options = options_;
    options.nf4 = nf4_ = adapter.files.nf4_base;
    SLM_TRY(model_, context_.open_model(path_, options));
  }
  return model_.get();
}

}  // namespace slm::evaluate
