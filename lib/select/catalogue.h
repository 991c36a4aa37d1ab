// The catalogue of candidate models: architecture, size, context, licence and published scores, each with its source.
//
// Units: tokens; scores in [0,1].
// Errors: kBadInput when a file breaks schemas/catalogue.schema.json.
// Source: schemas/catalogue/models.toml, compiled in; every row names where it was read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "nn/engine.h"
#include "select/artifact.h"

namespace slm::select {

struct CatalogueModel {
  std::string name, repository, architecture, licence, source;
  std::string tokenizer;  // format of its files: "sentencepiece", …; "": no source says
  int64_t n_parameters = 0;
  int64_t context = 0;  // 0: no source says
  std::vector<Score> scores;
  // What the network room makes of its shape: the config it would load, or why it can't.
  std::optional<nn::ModelConfig> config;
  std::string not_loadable;
};

struct Catalogue {
  std::vector<CatalogueModel> models;
  std::string digest;  // of the file
  const CatalogueModel* find(std::string_view name) const;
};
Result<Catalogue> default_catalogue();
Result<Catalogue> read_catalogue(const std::filesystem::path& path);

}  // namespace slm::select
