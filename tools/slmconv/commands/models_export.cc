#include "commands/models_export.h"

#include <fmt/format.h>

#include "cluster/artifact.h"
#include "commands/store.h"
#include "core/file.h"
#include "finetune/artifact.h"

namespace slm::cli {
namespace {

struct Options {
  std::string task, out;
};

Result<Summary> run_export(Context& context, const Options& options) {
  std::error_code ec;
  if (std::filesystem::exists(options.out, ec))
    return fail(ErrorCode::kUsage, fmt::format("{} exists already", options.out), "choose another --out");
  SLM_TRY(const auto store, open_store(context, store::Role::kTrainer));
  SLM_TRY(const auto tasks, cluster::task_list(store->dir()));
  TaskId id{options.task};
  for (const auto& task : tasks)
    if (task.name == options.task) id = task.id;
  SLM_TRY(const auto adapter, finetune::load_adapter(*store, id));
  SLM_CHECK(store->audit("export adapter", fmt::format("{} {}", id.value, adapter.manifest.id)));
  SLM_TRY(StagedDir staged, StagedDir::create(options.out));
  SLM_CHECK(write_file_atomic(staged.path() / "adapter_config.json", adapter.files.config_json));
  SLM_CHECK(write_file_atomic(staged.path() / "adapter_model.safetensors", ByteSpan(adapter.files.weights)));
  SLM_CHECK(staged.commit_new());
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.artifact = adapter.manifest.id;
  summary.lines.push_back(fmt::format("{}: PEFT adapter of {} for the base {}; unsealed: it counts as curated data",
                                      options.out, id.value, adapter.base.string()));
  return summary;
}

}  // namespace

void add_models_export(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("export", "Write a task's sealed adapter as a plain PEFT directory");
  auto o = std::make_shared<Options>();
  sub->add_option("task", o->task, "Task by id or name")->required();
  sub->add_option("--out", o->out, "Folder to make")->required()->type_name("DIR");
  context.on(sub, "models export", [&context, o] { return run_export(context, *o); });
}

}  // namespace slm::cli
