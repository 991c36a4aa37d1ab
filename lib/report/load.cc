#include <fmt/format.h>

#include "cluster/artifact.h"
#include "evaluate/artifact.h"
#include "finetune/artifact.h"
#include "report/report.h"
#include "schema/artifacts.h"
#include "store/store.h"

namespace slm::report {
namespace {

std::optional<double> exact_of(const std::optional<evaluate::ArmScores>& arm) {
  if (!arm) return std::nullopt;
  return arm->exact;
}

void add_evaluation(TaskRow& row, const evaluate::TaskEvaluation& e, const evaluate::TaskTiming& timing, double delta) {
  row.n_units = e.n;
  row.base = exact_of(e.base);
  row.tuned = exact_of(e.tuned);
  row.llm = exact_of(e.llm);
  row.majority = exact_of(e.majority);
  row.nearest = exact_of(e.nearest);
  row.bound = e.bound;
  row.delta = delta;
  // What can't be measured isn't measured against the log either.
  row.agreement = e.agreement && e.tuned.has_value();
  row.verdict = e.verdict;
  row.reason = e.reason;
  row.need_sessions = e.need;
  row.latency_ms = timing.latency_ms;
  row.llm_latency_ms = timing.llm_latency_ms;
  row.tokens_per_s = timing.tokens_per_s;
  row.cost_usd = timing.cost_usd;
  row.saving_usd = timing.saving_usd;
}

// Why these figures aren't those of what is there now; "" if they are.
std::string outdated(const evaluate::Evaluation& evaluation, const evaluate::TaskEvaluation& e,
                     const std::string& map_digest, const std::string& adapter) {
  const auto made_from = evaluation.manifest.inputs.find("tasks");
  if (made_from == evaluation.manifest.inputs.end() || made_from->second != map_digest)
    return "the task map is newer than the evaluation: slmconv evaluate";
  if (e.look > 0 && e.adapter != adapter) return "its adapter is newer than its test: slmconv evaluate";
  return {};
}

}  // namespace

Result<ReportData> load_report(const std::filesystem::path& store_dir) {
  ReportData data;
  data.tool = std::string(tool_version());
  SLM_TRY(const auto info, store::Store::info(store_dir));
  data.demo_store = info.demo;
  SLM_TRY(const auto tasks, cluster::task_list(store_dir));
  SLM_TRY(const Manifest map, read_current(store_dir, "cluster"));
  std::map<std::string, std::string> adapters;  // by task
  for (const auto& task : tasks) {
    TaskRow row;
    row.id = task.id.value;
    row.name = task.name;
    row.kind = score::kind_name(task.kind);
    row.n_calls = task.n_calls;
    row.call_share = task.call_share;
    row.cost_share = task.cost_share;
    if (const auto adapter = finetune::adapter_manifest(store_dir, task.id)) {
      row.n_train = adapter->n_out;
      adapters[task.id.value] = adapter->id;
      data.artefacts[fmt::format("finetune {}", task.id.value)] = adapter->id;
    }
    data.tasks.push_back(std::move(row));
  }
  for (const char* step : {"scrub", "cluster", "select", "evaluate"}) {
    const auto manifest = read_current(store_dir, step);
    if (!manifest) continue;
    data.artefacts[step] = manifest->id;
    if (std::string_view(step) != "scrub") continue;
    data.scrub = Funnel{manifest->n_in, manifest->n_out, manifest->dropped};
    if (const auto* found = get_object(manifest->summary, "found"))
      for (const auto& item : *found)
        if (item.value().is_number() && item.value().to_number<int64_t>() > 0)
          data.found_by_type[item.key()] = item.value().to_number<int64_t>();
  }
  if (!current_artifact(store_dir, evaluate::kStep)) return data;
  SLM_TRY(const auto evaluation, evaluate::load_evaluation(store_dir));
  data.delta = evaluation.delta;
  data.prices = evaluation.prices;
  data.device = evaluation.manifest.device;
  for (size_t i = 0; i < evaluation.tasks.size(); ++i)
    for (auto& row : data.tasks) {
      const evaluate::TaskEvaluation& e = evaluation.tasks[i];
      if (row.id != e.task.value) continue;
      const std::string why = outdated(evaluation, e, map.digest(), adapters[row.id]);
      if (why.empty())
        add_evaluation(row, e, evaluation.timings[i], evaluation.delta);
      else
        row.reason = why;
    }
  return data;
}

}  // namespace slm::report
