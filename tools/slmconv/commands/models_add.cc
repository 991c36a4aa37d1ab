#include "commands/models_add.h"

#include <fmt/format.h>

#include "commands/store.h"
#include "nn/plan.h"
#include "select/registry.h"
#include "select/weights.h"

namespace slm::cli {
namespace {

struct Flags {
  std::string dir, name, licence;
};

Result<Summary> run_models_add(Context& context, const Flags& flags) {
  SLM_TRY(const std::string dir, want_store(context, "models add"));
  SLM_CHECK(store::Store::info(dir));
  SLM_TRY(const select::LocalModel model, select::inspect_local_model(flags.dir, flags.name, flags.licence));
  SLM_TRY(const select::LocalModels known, select::list_local_models(dir));
  Summary summary;
  summary.changed = true;
  for (const select::LocalModel& other : known.models)
    if (other.name == model.name && other.digest == model.digest && other.path == model.path &&
        other.licence == model.licence)
      summary.changed = false;
  const double start_s = context.clock->monotonic_s();
  SLM_TRY(const select::WeightCheck checked, select::check_weights(model.path, model.config, *context.out));
  const double seconds = context.clock->monotonic_s() - start_s;
  if (seconds > 1)
    context.out->note(fmt::format("{} tensors, {:.1f} GB checked in {:.1f} s", checked.n_tensors,
                                  static_cast<double>(checked.n_bytes) / 1e9, seconds));
  if (summary.changed) SLM_CHECK(select::add_local_model(dir, model));
  context.out->row({{"model", model.name},
                    {"architecture", model.config.architecture},
                    {"parameters", nn::n_parameters(model.config)},
                    {"context", model.config.max_positions},
                    {"licence", model.licence.empty() ? "not stated" : model.licence},
                    {"path", model.path.string()}});
  context.out->end_table();
  summary.n_in = summary.n_out = 1;
  summary.extra["digest"] = model.digest;
  summary.extra["n_tensors"] = checked.n_tensors;
  if (!summary.changed) summary.lines.push_back("known already");
  return summary;
}

}  // namespace

void add_models_add(CLI::App& models, Context& context) {
  auto* sub =
      models.add_subcommand("add", "Register a folder of weights with the store, for select; every tensor is checked");
  auto flags = std::make_shared<Flags>();
  sub->add_option("dir", flags->dir, "Hugging Face model directory (config.json, *.safetensors, tokenizer)")
      ->type_name("DIR")
      ->required()
      ->check(context.input(Context::Input::kFolder));
  sub->add_option("--name", flags->name, "Name to list it by (default: the folder's)");
  sub->add_option("--licence", flags->licence, "Its licence, as an SPDX identifier");
  context.on(sub, "models add", [&context, flags] { return run_models_add(context, *flags); });
}

}  // namespace slm::cli
