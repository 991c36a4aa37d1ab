#include "commands/models_export.h"

#include <fmt/format.h>

#include "cluster/artifact.h"
#include "commands/store.h"
#include "core/file.h"
#include "finetune/artifact.h"
#include "finetune/card.h"
#include "nn/merge.h"
#include "select/artifact.h"

namespace slm::cli {
namespace {

struct Options {
  std::string task, out, dtype = "auto";
  bool merged = false;
};

// What goes along with merged weights, where the base has it.
constexpr const char* kCompanions[] = {"config.json",
                                       "generation_config.json",
                                       "tokenizer.json",
                                       "tokenizer.model",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.json",
                                       "merges.txt",
                                       "chat_template.jinja"};

Status write_merged(const finetune::LoadedAdapter& adapter, nn::DType dtype, const std::filesystem::path& dir) {
  SLM_TRY(const auto digest, select::model_digest(adapter.base));
  if (digest != adapter.base_digest)
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("{} isn't the base any more that the adapter was trained on", adapter.base.string()),
                "slmconv finetune again, or put the base back");
  for (const char* name : kCompanions) {
    std::error_code ec;
    if (!std::filesystem::exists(adapter.base / name, ec)) continue;
    SLM_TRY(const auto text, read_file(adapter.base / name));
    SLM_CHECK(write_file_atomic(dir / name, text));
  }
  return nn::merge_weights(adapter.base, adapter.files, dtype, dir / "model.safetensors");
}

Result<Summary> run_export(Context& context, const Options& options) {
  SLM_TRY(const auto dtype, nn::parse_dtype(options.dtype));
  std::error_code ec;
  if (std::filesystem::exists(options.out, ec))
    return fail(ErrorCode::kUsage, fmt::format("{} exists already", options.out), "choose another --out");
  SLM_TRY(const auto store, open_store(context, store::Role::kTrainer));
  SLM_TRY(const auto tasks, cluster::task_list(store->dir()));
  TaskId id{options.task};
  for (const auto& task : tasks)
    if (task.name == options.task) id = task.id;
  SLM_TRY(const auto adapter, finetune::load_adapter(*store, id));
  const bool whole = options.merged || adapter.files.full;
  SLM_CHECK(store->audit(whole ? "export merged model" : "export adapter",
                         fmt::format("{} {}", id.value, adapter.manifest.id)));
  SLM_TRY(StagedDir staged, StagedDir::create(options.out));
  if (whole) {
    SLM_CHECK(write_merged(adapter, dtype, staged.path()));
  } else {
    SLM_CHECK(write_file_atomic(staged.path() / "adapter_config.json", adapter.files.config_json));
    SLM_CHECK(write_file_atomic(staged.path() / "adapter_model.safetensors", ByteSpan(adapter.files.weights)));
  }
  SLM_CHECK(write_file_atomic(staged.path() / "README.md", finetune::model_card(adapter, whole)));
  SLM_CHECK(staged.commit_new());
  Summary summary;
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.artifact = adapter.manifest.id;
  summary.extra["base"] = finetune::base_in_words(adapter);
  if (adapter.files.nf4_base) summary.lines.push_back("base: " + finetune::base_in_words(adapter));
  summary.lines.push_back(fmt::format("{}: {} {} {} {}; unsealed: it counts as curated data", options.out,
                                      whole ? "model of" : "PEFT adapter of", id.value,
                                      adapter.files.full ? "trained from"
                                      : whole            ? "merged into"
                                                         : "for the base",
                                      adapter.base.string()));
  return summary;
}

}  // namespace

void add_models_export(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand("export", "Write a task's sealed adapter as a plain PEFT directory, or as a model");
  auto o = std::make_shared<Options>();
  sub->add_option("task", o->task, "Task by id or name")->required();
  sub->add_option("--out", o->out, "Folder to make")->required()->type_name("DIR");
  sub->add_flag(
      "--merged", o->merged,
      "A model directory of its own: the base with the adapter in its weights (after --full it is one anyway)");
  sub->add_option("--dtype", o->dtype, "Type of the merged weights; auto: as the base has them")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str();
  context.on(sub, "models export", [&context, o] { return run_export(context, *o); });
}

}  // namespace slm::cli
