// Weights that are on this machine: STORE/artifacts/models/<name>.json, one file a model. Public.
//
// Errors: kUnsupportedModel (an architecture, tokenizer or chat template that this build doesn't read), kBadInput, kIo;
//   kUsage for a name that isn't one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nn/engine.h"

namespace slm::select {

struct LocalModel {
  std::string name;
  std::filesystem::path path;  // absolute
  std::string licence;         // "" = not stated
  std::string digest;          // model_digest(path) when it was added
  nn::ModelConfig config;      // read from the folder, not stored
  std::string unreadable;      // why its tokenizer or template can't be read now; "" = they can
};

// Looks at a folder of weights without registering it; name "" = the folder's own name.
Result<LocalModel> inspect_local_model(const std::filesystem::path& dir, std::string name, std::string licence);
// Registers it; the same name again replaces the entry.
Status add_local_model(const std::filesystem::path& store_dir, const LocalModel& model);

// Removes its entry; the folder stays. Errors: kBadInput where none has that name.
Status remove_local_model(const std::filesystem::path& store_dir, const std::string& name);

struct LocalModels {
  std::vector<LocalModel> models;                       // by name
  std::vector<std::pair<std::string, Error>> unusable;  // name and why: a moved folder, another config
};
Result<LocalModels> list_local_models(const std::filesystem::path& store_dir);

}  // namespace slm::select
