// What fine-tuning leaves behind: one sealed adapter a task, or all weights anew, with its manifest. Other steps use
// this header alone.
//
// STORE/artifacts/finetune/<id>/{adapter_config.json.sealed, adapter_model.safetensors.sealed, metrics.jsonl,
// manifest.json}, with all weights model.safetensors.sealed in place of the first two; the current one of a task is
// keyed by the task's id. Weights count as curated data, so both adapter files lie sealed to the trainer. metrics.jsonl
// lies open: a line {step, loss, rate, grad_norm} for each step and {step, validation_loss, validation_accuracy} for
// each validation, numbers only, of the process that finished the training (after --resume, the steps since the
// checkpoint); no digest covers it. The manifest: config.task, config.method ("lora" or "full"), config.base (folder of
// the base model), config.base_digest (select::model_digest of it),
//   config.base_quantisation ("nf4" of a QLoRA: the base whose answers count is the quantised one; absent otherwise)
//   and the settings of the training; inputs.tasks (digest of the task map's manifest), inputs.train and
//   inputs.validation (of the calls).
// Errors: kManifestMismatch when a task has no adapter yet or files don't match their manifest; those of the store.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/ids.h"
#include "nn/engine.h"
#include "schema/manifest.h"
#include "store/store.h"

namespace slm::finetune {

inline constexpr std::string_view kStep = "finetune";
inline constexpr std::string_view kNf4 = "nf4";    // of config.base_quantisation
inline constexpr std::string_view kFull = "full";  // of config.method

// Seals the files, fills manifest.outputs and manifest.id, writes the manifest last and makes it the task's current
// one. Requires: manifest.step = "finetune", its config as above, its counts adding up.
Status save_adapter(store::Store& store, Manifest& manifest, const nn::AdapterFiles& files,
                    const std::string& metrics = {});

struct LoadedAdapter {
  Manifest manifest;
  nn::AdapterFiles files;
  std::filesystem::path base;
  std::string base_digest;
};
// Needs a trainer.
Result<LoadedAdapter> load_adapter(store::Store& store, const TaskId& task);

// Tasks with a current adapter, sorted; and its manifest. Need no identity.
std::vector<TaskId> tasks_with_adapter(const std::filesystem::path& store_dir);
Result<Manifest> adapter_manifest(const std::filesystem::path& store_dir, const TaskId& task);

}  // namespace slm::finetune
