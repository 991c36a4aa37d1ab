#include "commands/models_remove.h"

#include <fmt/format.h>

#include "commands/store.h"
#include "schema/artifacts.h"
#include "select/artifact.h"
#include "select/registry.h"

namespace slm::cli {
namespace {

Result<Summary> run_models_remove(Context& context, const std::string& name) {
  SLM_TRY(const std::string dir, want_store(context, "models remove"));
  SLM_CHECK(store::Store::info(dir));
  SLM_CHECK(select::remove_local_model(dir, name));
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.lines.push_back(fmt::format("{} isn't registered any more; its folder stays as it is", name));
  if (current_artifact(dir, "select")) {
    SLM_TRY(const select::Selection selection, select::load_selection(dir));
    for (const auto& task : selection.tasks)
      if (const auto* chosen = task.chosen(); chosen != nullptr && chosen->model == name)
        context.out->warn(
            fmt::format("{} was select's choice for {}: slmconv select chooses anew", name, task.task.value));
  }
  return summary;
}

}  // namespace

void add_models_remove(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("remove", "Take a registered model out of the list that select chooses from");
  auto name = std::make_shared<std::string>();
  sub->add_option("name", *name, "As `models add` named it; the folder of weights isn't touched")->required();
  context.on(sub, "models remove", [&context, name] { return run_models_remove(context, *name); });
}

}  // namespace slm::cli
