// S4: for each task the small models that could take it over, ranked, every exclusion with its reason. Reads the public
// list of tasks; needs no identity.
//
// Errors: kManifestMismatch when nothing was clustered yet; kBadInput (catalogue, registry); kIo.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/time.h"
#include "select/artifact.h"
#include "select/rank.h"

namespace slm::select {

struct SelectOptions {
  std::set<std::string> licences = permissive_licences();
  double memory_gb = 0;                       // 0: this machine's
  double machine_gb = 0;                      // this machine's memory; 0: as the system says
  std::filesystem::path catalogue;            // empty: the one inside the program
  std::vector<std::filesystem::path> models;  // folders of weights besides the registered ones
  int64_t serve_batch = 1;
  int64_t rank = 8;
};

struct SelectResult {
  Selection selection;
  bool changed = false;
};
// n_in of the manifest counts (task, model) pairs; dropped says why, by the first reason of each.
Result<SelectResult> select_models(const std::filesystem::path& store_dir, const SelectOptions& options, Clock& clock,
                                   Progress& progress);

}  // namespace slm::select
