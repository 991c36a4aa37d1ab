#include "finetune/artifact.h"

#include <fmt/format.h>

#include "core/file.h"
#include "core/hash.h"
#include "schema/artifacts.h"

namespace slm::finetune {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConfigFile = "adapter_config.json";
constexpr std::string_view kWeightsFile = "adapter_model.safetensors";
constexpr std::string_view kModelFile = "model.safetensors";

fs::path sealed_path(const fs::path& dir, std::string_view file) { return dir / fmt::format("{}.sealed", file); }
// The name an encapsulation is kept under.
std::string sealed_name(std::string_view id, std::string_view file) { return fmt::format("{}/{}/{}", kStep, id, file); }

Result<Bytes> open_checked(store::Store& store, const Manifest& manifest, std::string_view file) {
  const fs::path dir = artifact_dir(store.dir(), kStep, manifest.id);
  SLM_TRY(Bytes bytes, store.open_sealed_file(sealed_path(dir, file), sealed_name(manifest.id, file)));
  const auto output = manifest.outputs.find(std::string(file));
  if (output == manifest.outputs.end() || output->second != to_hex(sha256(bytes)))
    return fail(ErrorCode::kIntegrity, fmt::format("adapter {}: {} isn't what its manifest names", manifest.id, file),
                "slmconv store verify");
  return bytes;
}

Result<std::string> config_string(const Manifest& manifest, std::string_view key) {
  return want_string(manifest.config, key, fmt::format("manifest {} of {}", manifest.id, kStep));
}

}  // namespace

Status save_adapter(store::Store& store, Manifest& manifest, const nn::AdapterFiles& files,
                    const std::string& metrics) {
  manifest.step = kStep;
  SLM_TRY(const std::string task, config_string(manifest, "task"));
  SLM_CHECK(config_string(manifest, "base"));
  SLM_CHECK(config_string(manifest, "base_digest"));
  if (files.full != (get_string(manifest.config, "method") == kFull))
    return fail(ErrorCode::kUnexpected, "a full set of weights and its manifest disagree");
  std::vector<std::pair<std::string_view, ByteSpan>> outputs;
  if (!files.full) outputs.emplace_back(kConfigFile, as_bytes(files.config_json));
  outputs.emplace_back(files.full ? kModelFile : kWeightsFile, files.weights);
  for (const auto& [name, bytes] : outputs) manifest.outputs[std::string(name)] = to_hex(sha256(bytes));
  manifest.id = manifest.digest().substr(0, 16);

  const fs::path dir = artifact_dir(store.dir(), kStep, manifest.id);
  std::error_code ec;
  if (!fs::exists(dir / "manifest.json", ec)) {
    SLM_CHECK(make_dirs(dir.parent_path()));
    SLM_TRY(StagedDir staged, StagedDir::create(dir));
    for (const auto& [name, bytes] : outputs)
      SLM_CHECK(store.seal_file(sealed_path(staged.path(), name), sealed_name(manifest.id, name), bytes));
    if (!metrics.empty()) SLM_CHECK(write_file_atomic(staged.path() / "metrics.jsonl", metrics));
    SLM_CHECK(write_manifest(staged.path(), manifest));
    SLM_CHECK(staged.commit());
  }
  return set_current(store.dir(), kStep, manifest.id, task);
}

Result<LoadedAdapter> load_adapter(store::Store& store, const TaskId& task) {
  LoadedAdapter out;
  SLM_TRY(out.manifest, adapter_manifest(store.dir(), task));
  SLM_TRY(const std::string base, config_string(out.manifest, "base"));
  out.base = base;
  SLM_TRY(out.base_digest, config_string(out.manifest, "base_digest"));
  out.files.full = get_string(out.manifest.config, "method") == kFull;
  if (!out.files.full) {
    SLM_TRY(const Bytes config, open_checked(store, out.manifest, kConfigFile));
    out.files.config_json = as_text(config);
  }
  SLM_TRY(out.files.weights, open_checked(store, out.manifest, out.files.full ? kModelFile : kWeightsFile));
  const std::string_view quantisation = get_string(out.manifest.config, "base_quantisation");
  if (!quantisation.empty() && quantisation != kNf4)
    return fail(ErrorCode::kFormatTooNew, fmt::format("adapter {} was trained over a base in {}; known: {}",
                                                      out.manifest.id, quantisation, kNf4));
  out.files.nf4_base = quantisation == kNf4;
  return out;
}

std::vector<TaskId> tasks_with_adapter(const std::filesystem::path& store_dir) {
  std::vector<TaskId> out;
  for (std::string& key : current_keys(store_dir, kStep)) out.push_back(TaskId{std::move(key)});
  return out;
}

Result<Manifest> adapter_manifest(const std::filesystem::path& store_dir, const TaskId& task) {
  SLM_TRY(Manifest manifest, read_current(store_dir, kStep, task.value));
  if (get_string(manifest.config, "task") != task.value)
    return fail(
        ErrorCode::kManifestMismatch,
        fmt::format("the current adapter of {} was trained for {}", task.value, get_string(manifest.config, "task")),
        fmt::format("slmconv finetune {} --lora", task.value));
  return manifest;
}

}  // namespace slm::finetune
