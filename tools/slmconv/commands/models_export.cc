#include "commands/models_export.h"

#include <fmt/format.h>

#include "cluster/artifact.h"
#include "commands/store.h"
#include "core/file.h"
#include "finetune/artifact.h"
#include "finetune/card.h"
#include "model/gguf_export.h"
#include "nn/merge.h"
#include "select/artifact.h"

namespace slm::cli {
namespace {

struct Options {
  std::string task, out, dtype = "auto", gguf, type;
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

Status check_base(const finetune::LoadedAdapter& adapter) {
  SLM_TRY(const auto digest, select::model_digest(adapter.base));
  if (digest != adapter.base_digest)
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("{} isn't the base any more that the adapter was trained on", adapter.base.string()),
                "slmconv finetune again, or put the base back");
  return {};
}

Status write_merged(const finetune::LoadedAdapter& adapter, nn::DType dtype, const std::filesystem::path& dir) {
  SLM_CHECK(check_base(adapter));
  for (const char* name : kCompanions) {
    std::error_code ec;
    if (!std::filesystem::exists(adapter.base / name, ec)) continue;
    SLM_TRY(const auto text, read_file(adapter.base / name));
    SLM_CHECK(write_file_atomic(dir / name, text));
  }
  return nn::merge_weights(adapter.base, adapter.files, dtype, dir / "model.safetensors");
}

Status write_peft(const finetune::LoadedAdapter& adapter, const std::filesystem::path& dir) {
  SLM_CHECK(write_file_atomic(dir / "adapter_config.json", adapter.files.config_json));
  return write_file_atomic(dir / "adapter_model.safetensors", ByteSpan(adapter.files.weights));
}

// What --gguf takes, what it makes, and of which type unless --type says.
struct GgufKind {
  std::string_view name, what, type;
};
constexpr GgufKind kGgufKinds[] = {
    {"adapter", "adapter of", "f32"}, {"model", "model of", "f16"}, {"base", "base of", "f16"}};

const GgufKind* gguf_kind(std::string_view name) {
  for (const auto& kind : kGgufKinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

Status write_gguf(const finetune::LoadedAdapter& adapter, const Options& options, const std::filesystem::path& dir,
                  const std::filesystem::path& file) {
  SLM_TRY(const auto type, nn::parse_ggml_type(options.type));
  SLM_CHECK(check_base(adapter));
  if (options.gguf != "model" && (adapter.files.full || adapter.files.nf4_base))
    return fail(ErrorCode::kUnsupportedModel,
                adapter.files.full ? "all weights of this task's model are new: it has no adapter and no base"
                                   : "this adapter answers for its base in NF4 only, which llama.cpp hasn't",
                "slmconv models export TASK --gguf model --out FILE");
  const std::string name = adapter.base.filename().string();
  if (options.gguf == "adapter")
    return model::export_gguf_adapter(adapter.base, adapter.files, {type, fmt::format("{} {}", name, options.task), {}},
                                      file);
  if (options.gguf == "base") return model::export_gguf(adapter.base, {type, name, {}}, file);
  SLM_CHECK(model::check_gguf(adapter.base));  // before the work of merging
  SLM_CHECK(write_merged(adapter, nn::DType::kFloat32, dir));
  return model::export_gguf(
      dir, {type, fmt::format("{} {}", name, options.task), "base: " + finetune::base_in_words(adapter)}, file);
}

// A file made in a hidden folder beside its place, then moved there.
Status export_gguf_file(const finetune::LoadedAdapter& adapter, const Options& options) {
  SLM_TRY(const StagedDir staged, StagedDir::create(options.out));
  const auto file = staged.path() / "made.gguf";
  SLM_CHECK(write_gguf(adapter, options, staged.path(), file));
  std::error_code ec;
  std::filesystem::rename(file, options.out, ec);
  if (ec) return fail(ErrorCode::kIo, fmt::format("{}: {}", options.out, ec.message()));
  return fsync_dir(std::filesystem::absolute(options.out).parent_path());
}

std::string what_was_made(const Options& options, bool model) {
  if (const auto* kind = gguf_kind(options.gguf)) return fmt::format("GGUF {} {}", options.type, kind->what);
  return model ? "model of" : "PEFT adapter of";
}

// Where a file is good for less text than the model.
Status warn_of_context(const finetune::LoadedAdapter& adapter, Summary& summary) {
  SLM_TRY(const auto config, nn::read_config(adapter.base));
  SLM_TRY(const auto settings, model::gguf_settings_of(config));
  summary.extra["context"] = settings.context;
  if (settings.context < config.max_positions)
    summary.lines.push_back(fmt::format("context {} tokens, one sliding window: llama.cpp's {} has none",
                                        settings.context, settings.architecture));
  return {};
}

Result<Summary> run_export(Context& context, Options options) {
  SLM_TRY(const auto dtype, nn::parse_dtype(options.dtype));
  if (const auto* kind = gguf_kind(options.gguf)) {
    if (options.type.empty()) options.type = kind->type;
    if (kind->name == "adapter" && options.type.front() == 'q')
      return fail(ErrorCode::kUsage, fmt::format("--gguf adapter --type {}; known: f32, f16, bf16", options.type));
  }
  std::error_code ec;
  if (std::filesystem::exists(options.out, ec))
    return fail(ErrorCode::kUsage, fmt::format("{} exists already", options.out), "choose another --out");
  SLM_TRY(const auto store, open_store(context, store::Role::kTrainer));
  SLM_TRY(const auto tasks, cluster::task_list(store->dir()));
  TaskId id{options.task};
  for (const auto& task : tasks)
    if (task.name == options.task) id = task.id;
  SLM_TRY(const auto adapter, finetune::load_adapter(*store, id));
  const bool model = options.merged || options.gguf == "model" || (options.gguf.empty() && adapter.files.full);
  SLM_CHECK(store->audit(model                    ? "export merged model"
                         : options.gguf == "base" ? "export base"
                                                  : "export adapter",
                         fmt::format("{} {}", id.value, adapter.manifest.id)));
  Summary summary;
  if (!options.gguf.empty()) {
    SLM_CHECK(export_gguf_file(adapter, options));
    SLM_CHECK(warn_of_context(adapter, summary));
  } else {
    SLM_TRY(StagedDir staged, StagedDir::create(options.out));
    SLM_CHECK(model ? write_merged(adapter, dtype, staged.path()) : write_peft(adapter, staged.path()));
    SLM_CHECK(write_file_atomic(staged.path() / "README.md", finetune::model_card(adapter, model)));
    SLM_CHECK(staged.commit_new());
  }
  summary.n_in = summary.n_out = 1;
  summary.changed = true;
  summary.artifact = adapter.manifest.id;
  summary.extra["base"] = finetune::base_in_words(adapter);
  if (adapter.files.nf4_base) summary.lines.push_back("base: " + finetune::base_in_words(adapter));
  const bool sealed_before = options.gguf != "base";
  summary.lines.insert(
      summary.lines.begin(),
      fmt::format("{}: {} {} {} {}{}", options.out, what_was_made(options, model), id.value,
                  !model               ? "for the base"
                  : adapter.files.full ? "trained from"
                                       : "merged into",
                  adapter.base.string(), sealed_before ? "; unsealed: it counts as curated data" : ""));
  return summary;
}

}  // namespace

void add_models_export(CLI::App& models, Context& context) {
  auto* sub = models.add_subcommand(
      "export", "Write a task's sealed adapter as a plain PEFT directory, as a model, or for llama.cpp");
  auto o = std::make_shared<Options>();
  sub->add_option("task", o->task, "Task by id or name")->required();
  sub->add_option("--out", o->out, "Folder to make; with --gguf the file")->required()->type_name("PATH");
  auto* merged = sub->add_flag(
      "--merged", o->merged,
      "A model directory of its own: the base with the adapter in its weights (after --full it is one anyway)");
  auto* dtype = sub->add_option("--dtype", o->dtype, "Type of the merged weights; auto: as the base has them")
                    ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
                    ->capture_default_str();
  auto* gguf =
      sub->add_option("--gguf", o->gguf,
                      "One GGUF file for llama.cpp: the adapter, the model with the adapter in its weights, or "
                      "the base that the adapter's file goes onto")
          ->check(CLI::IsMember({"adapter", "model", "base"}))
          ->excludes(merged)
          ->excludes(dtype);
  sub->add_option("--type", o->type, "Type of the file's matrices (default: adapter f32, else f16; adapter: no q)")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "q4_0"}))
      ->needs(gguf);
  context.on(sub, "models export", [&context, o] { return run_export(context, *o); });
}

}  // namespace slm::cli
