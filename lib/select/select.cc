#include "select/select.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "cluster/artifact.h"
#include "core/file.h"
#include "core/hash.h"
#include "schema/artifacts.h"

namespace slm::select {
namespace {

// Whole gigabytes, so that a rerun on the same machine asks for the same.
double machine_memory_gb() {
  const double bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return std::max(1.0, std::floor(bytes / 1e9));
}

Result<std::vector<LocalModel>> local_models(const std::filesystem::path& store_dir, const SelectOptions& options,
                                             Progress& progress) {
  SLM_TRY(LocalModels listed, list_local_models(store_dir));
  for (const auto& [name, error] : listed.unusable)
    progress.warn(fmt::format("registered model {} can't be used: {}", name, error.message));
  for (const auto& dir : options.models) {
    SLM_TRY(LocalModel model, inspect_local_model(dir, "", ""));
    std::erase_if(listed.models, [&](const LocalModel& other) { return other.name == model.name; });
    listed.models.push_back(std::move(model));
  }
  return std::move(listed.models);
}

// What a system says of its memory moves a little (a balloon, another kernel): within a tenth it is the same machine.
bool same_machine(const Manifest& made, double machine_gb) {
  const double then_gb = get_number(made.summary, "machine_gb").value_or(0);
  return std::abs(machine_gb - then_gb) <= 0.1 * then_gb;
}

json::object settings(const SelectOptions& options) {
  json::array licences;
  for (const std::string& licence : options.licences) licences.push_back(json::value(licence));
  return {{"licences", std::move(licences)},
          {"memory_gb", options.memory_gb},
          {"serve_batch", options.serve_batch},
          {"rank", options.rank},
          {"bf16", nn::cpu_has_bf16()}};
}

std::string models_digest(const std::vector<LocalModel>& models) {
  Sha256 hash;
  for (const LocalModel& model : models)
    hash.update(fmt::format("{}\n{}\n{}\n{}\n{}", model.name, model.path.string(), model.licence, model.digest,
                            model.unreadable.empty() ? "" : model.unreadable + "\n"));
  return to_hex(hash.finish());
}

Status write_selection(const std::filesystem::path& store_dir, Selection& selection) {
  json::array tasks;
  for (const TaskCandidates& task : selection.tasks) tasks.push_back(to_json(task));
  const json::value content = json::object{{"tasks", std::move(tasks)}};
  Manifest& manifest = selection.manifest;
  manifest.outputs["candidates.json"] = sha256_hex(canonical_json(content));
  manifest.id = manifest.digest().substr(0, 16);
  const auto dir = artifact_dir(store_dir, kStep, manifest.id);
  std::error_code ec;
  if (!std::filesystem::exists(dir / "manifest.json", ec)) {
    SLM_CHECK(make_dirs(dir.parent_path()));
    SLM_TRY(StagedDir staged, StagedDir::create(dir));
    SLM_CHECK(write_file_atomic(staged.path() / "candidates.json", pretty_json(content)));
    SLM_CHECK(write_manifest(staged.path(), manifest));
    SLM_CHECK(staged.commit());
  }
  return set_current(store_dir, kStep, manifest.id);
}

}  // namespace

Result<SelectResult> select_models(const std::filesystem::path& store_dir, const SelectOptions& options, Clock& clock,
                                   Progress& progress) {
  const double started_s = clock.monotonic_s();
  SLM_TRY(const Manifest tasks_manifest, read_current(store_dir, "cluster"));
  SLM_TRY(const std::vector<cluster::TaskInfo> tasks, cluster::task_list(store_dir));
  SLM_TRY(const Catalogue catalogue,
          options.catalogue.empty() ? default_catalogue() : read_catalogue(options.catalogue));
  SLM_TRY(const std::vector<LocalModel> local, local_models(store_dir, options, progress));
  const double machine_gb = options.machine_gb > 0 ? options.machine_gb : machine_memory_gb();
  const double memory_gb = options.memory_gb > 0 ? options.memory_gb : machine_gb;

  SelectResult out;
  Manifest& manifest = out.selection.manifest;
  manifest.step = kStep;
  manifest.config = settings(options);
  manifest.inputs["tasks"] = tasks_manifest.digest();
  manifest.inputs["catalogue"] = catalogue.digest;
  manifest.inputs["models"] = models_digest(local);
  if (const auto made = unchanged(store_dir, manifest);
      made && (options.memory_gb > 0 || same_machine(*made, machine_gb))) {
    SLM_TRY(out.selection, load_selection(store_dir));
    return out;
  }

  RankOptions rank;
  rank.licences = options.licences;
  rank.memory_bytes = static_cast<int64_t>(memory_gb * 1e9);
  rank.serve_batch = options.serve_batch;
  rank.rank = options.rank;
  json::array summary;
  for (const cluster::TaskInfo& info : tasks) {
    if (info.excluded) continue;
    TaskCandidates task;
    task.task = info.id;
    task.name = info.name;
    task.kind = info.kind;
    task.context_needed = info.p99_tokens;
    Ranking ranking = rank_candidates({info.kind, info.p99_tokens}, catalogue, local, rank);
    task.ranked = std::move(ranking.ranked);
    task.excluded = std::move(ranking.excluded);
    manifest.n_out += static_cast<int64_t>(task.ranked.size());
    manifest.n_in += static_cast<int64_t>(task.ranked.size() + task.excluded.size());
    for (const Candidate& candidate : task.excluded) ++manifest.dropped[candidate.exclusions.front().reason];
    const Candidate* chosen = task.chosen();
    summary.push_back({{"task", task.task.value},
                       {"chosen", chosen ? json::value(chosen->model) : json::value(nullptr)},
                       {"n_ranked", task.ranked.size()}});
    out.selection.tasks.push_back(std::move(task));
  }
  manifest.summary["tasks"] = std::move(summary);
  if (options.memory_gb == 0) manifest.summary["machine_gb"] = machine_gb;
  manifest.made_ms = clock.now_ms();
  manifest.seconds = clock.monotonic_s() - started_s;
  SLM_CHECK(write_selection(store_dir, out.selection));
  out.changed = true;
  return out;
}

}  // namespace slm::select
