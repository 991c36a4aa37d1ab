// Ranks the models that could take over one task, and says of each that can't why not. Pure functions.
//
// Order: models whose weights are here first; then by the published score that matters for the task's kind, within one
// version of one benchmark (models that have the more telling figure come before those that only have the next one);
// equal scores by fewer parameters. Without any figure: here, more parameters first (nothing better is known and all
// fit); elsewhere, fewer first.
//
// Units: bytes, tokens.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nn/engine.h"
#include "select/artifact.h"
#include "select/catalogue.h"
#include "select/registry.h"

namespace slm::select {

// A benchmark of one version that bears on a kind.
struct Benchmark {
  std::string_view name, version;
};
// What matters for a kind, most telling first.
std::span<const Benchmark> benchmarks_for(score::TaskKind kind);

// Licences that let weights be used, changed and passed on in commerce: what `--licences` stands at.
const std::set<std::string>& permissive_licences();

struct RankOptions {
  std::set<std::string> licences = permissive_licences();
  int64_t memory_bytes = 0;  // budget for serving and for training, each
  nn::DType dtype = nn::DType::kAuto;
  int64_t serve_batch = 1;  // rows answered together
  int64_t rank = 8;         // of the adapter to be trained
};

struct TaskNeeds {
  score::TaskKind kind = score::TaskKind::kOpenText;
  int64_t context = 0;  // tokens
};

struct Ranking {
  std::vector<Candidate> ranked, excluded;
};
Ranking rank_candidates(const TaskNeeds& task, const Catalogue& catalogue, std::span<const LocalModel> local,
                        const RankOptions& options);

}  // namespace slm::select
