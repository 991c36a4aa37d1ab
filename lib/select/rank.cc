#include "select/rank.h"

#include <fmt/format.h>

#include <algorithm>

#include "nn/plan.h"

namespace slm::select {
namespace {

constexpr Benchmark kInstructions[] = {{"IFEval", ""}, {"MMLU", ""}, {"MMLU", "redux"}};
constexpr Benchmark kKnowledge[] = {{"MMLU", "redux"}, {"MMLU", ""}, {"IFEval", ""}};
constexpr Benchmark kTools[] = {{"BFCL", "v3"}, {"BFCL", "v2"}, {"IFEval", ""}};

// The formats that text::Tokenizer reads.
constexpr std::string_view kTokenizers[] = {"sentencepiece", "byte-level-bpe"};

std::string gigabytes(int64_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9); }

// The first of the kind's benchmarks that the model has a figure for. Of several protocols the lowest counts: which one
// the task would see isn't known.
struct Found {
  size_t tier = SIZE_MAX;
  const Score* score = nullptr;
};
Found telling_score(score::TaskKind kind, const std::vector<Score>& scores) {
  const auto wanted = benchmarks_for(kind);
  for (size_t tier = 0; tier < wanted.size(); ++tier) {
    const Score* lowest = nullptr;
    for (const Score& score : scores)
      if (score.benchmark == wanted[tier].name && score.version == wanted[tier].version &&
          (!lowest || score.value < lowest->value))
        lowest = &score;
    if (lowest) return {tier, lowest};
  }
  return {};
}

struct Entry {
  Candidate candidate;
  size_t tier = SIZE_MAX;
};

// Fills the memory plans and tells whether they fit.
void plan(Candidate& candidate, const nn::ModelConfig& config, const TaskNeeds& task, const RankOptions& options) {
  const int64_t context = std::max<int64_t>(task.context, 1);
  candidate.serve_bytes = nn::plan_serve(config, options.dtype, context, options.serve_batch).total_bytes;
  candidate.train_bytes =
      nn::plan_examples(config, options.dtype,
                        {.longest = context, .rank = options.rank, .budget_bytes = options.memory_bytes})
          .total_bytes;
}

void check(Candidate& candidate, const TaskNeeds& task, const RankOptions& options) {
  auto& out = candidate.exclusions;
  if (candidate.licence.empty()) {
    // The user's own weights may be used under terms that only the user knows.
    if (!candidate.local) out.push_back({"licence", "not stated"});
  } else if (!options.licences.contains(candidate.licence)) {
    out.push_back({"licence", fmt::format("{} isn't among the licences allowed (--licences)", candidate.licence)});
  }
  if (candidate.context == 0) {
    out.push_back({"context", "not known"});
  } else if (candidate.context < task.context) {
    out.push_back(
        {"context", fmt::format("{} tokens, the task's 99th percentile is {}", candidate.context, task.context)});
  }
  if (candidate.serve_bytes > options.memory_bytes) {
    out.push_back({"memory", fmt::format("serving takes {}, the budget is {} (--memory-gb)",
                                         gigabytes(candidate.serve_bytes), gigabytes(options.memory_bytes))});
  } else if (candidate.train_bytes > options.memory_bytes) {
    out.push_back({"memory", fmt::format("training takes {}, the budget is {} (--memory-gb)",
                                         gigabytes(candidate.train_bytes), gigabytes(options.memory_bytes))});
  }
}

std::string why(const Candidate& candidate) {
  std::string text = candidate.local ? "weights are here" : "weights aren't here";
  if (candidate.score) {
    const Score& s = *candidate.score;
    text += fmt::format("; {}{}{} {:.3f} ({}, protocol {})", s.benchmark, s.version.empty() ? "" : " ", s.version,
                        s.value, s.source, s.protocol);
  } else {
    text += "; no published figure that bears on this kind";
  }
  if (candidate.local && candidate.licence.empty()) text += "; licence not stated";
  return text;
}

bool before(const Entry& a, const Entry& b) {
  if (a.candidate.local != b.candidate.local) return a.candidate.local;
  if (a.tier != b.tier) return a.tier < b.tier;
  if (a.candidate.score && a.candidate.score->value != b.candidate.score->value)
    return a.candidate.score->value > b.candidate.score->value;
  if (a.candidate.n_parameters != b.candidate.n_parameters) {
    const bool fewer = a.candidate.n_parameters < b.candidate.n_parameters;
    return a.candidate.local && !a.candidate.score ? !fewer : fewer;
  }
  return a.candidate.model < b.candidate.model;
}

void give_score(Entry& entry, score::TaskKind kind, const std::vector<Score>& scores) {
  const Found found = telling_score(kind, scores);
  entry.tier = found.tier;
  if (found.score) entry.candidate.score = *found.score;
}

Entry local_entry(const LocalModel& model, const TaskNeeds& task, const Catalogue& catalogue,
                  const RankOptions& options) {
  Entry entry;
  Candidate& candidate = entry.candidate;
  candidate.model = model.name;
  candidate.architecture = model.config.architecture;
  candidate.n_parameters = nn::n_parameters(model.config);
  candidate.context = model.config.max_positions;
  candidate.licence = model.licence;
  candidate.local = true;
  candidate.path = model.path;
  candidate.digest = model.digest;
  if (!model.unreadable.empty()) candidate.exclusions.push_back({"tokenizer", model.unreadable});
  if (const CatalogueModel* known = catalogue.find(model.name)) {
    give_score(entry, task.kind, known->scores);
    if (candidate.licence.empty()) candidate.licence = known->licence;
  }
  plan(candidate, model.config, task, options);
  check(candidate, task, options);
  candidate.why = why(candidate);
  return entry;
}

Entry catalogue_entry(const CatalogueModel& model, const TaskNeeds& task, const RankOptions& options) {
  Entry entry;
  Candidate& candidate = entry.candidate;
  candidate.model = model.name;
  candidate.architecture = model.architecture;
  candidate.n_parameters = model.n_parameters;
  candidate.context = model.context;
  candidate.licence = model.licence;
  if (!model.repository.empty()) candidate.get_from = fmt::format("https://huggingface.co/{}", model.repository);
  give_score(entry, task.kind, model.scores);
  if (model.config) {
    plan(candidate, *model.config, task, options);
  } else {
    candidate.exclusions.push_back({"architecture", model.not_loadable});
  }
  if (!model.tokenizer.empty() &&
      std::find(std::begin(kTokenizers), std::end(kTokenizers), model.tokenizer) == std::end(kTokenizers))
    candidate.exclusions.push_back(
        {"tokenizer", fmt::format("{}; this build reads tokenizer.json and tokenizer.model", model.tokenizer)});
  check(candidate, task, options);
  candidate.why = why(candidate);
  if (model.tokenizer.empty()) candidate.why += "; its tokenizer's format isn't known";
  return entry;
}

}  // namespace

std::span<const Benchmark> benchmarks_for(score::TaskKind kind) {
  switch (kind) {
    case score::TaskKind::kToolCall:
      return kTools;
    case score::TaskKind::kLabel:
      return kKnowledge;
    case score::TaskKind::kJson:
    case score::TaskKind::kShortText:
    case score::TaskKind::kOpenText:
      return kInstructions;
  }
  return kInstructions;
}

const std::set<std::string>& permissive_licences() {
  static const std::set<std::string> kLicences = {"Apache-2.0", "MIT",     "BSD-2-Clause", "BSD-3-Clause",
                                                  "ISC",        "CC0-1.0", "CC-BY-4.0",    "Unlicense"};
  return kLicences;
}

Ranking rank_candidates(const TaskNeeds& task, const Catalogue& catalogue, std::span<const LocalModel> local,
                        const RankOptions& options) {
  std::vector<Entry> entries;
  std::set<std::string> here;
  for (const LocalModel& model : local) {
    entries.push_back(local_entry(model, task, catalogue, options));
    here.insert(model.name);
  }
  for (const CatalogueModel& model : catalogue.models)
    if (!here.contains(model.name)) entries.push_back(catalogue_entry(model, task, options));
  std::sort(entries.begin(), entries.end(), before);
  Ranking out;
  for (Entry& entry : entries)
    (entry.candidate.exclusions.empty() ? out.ranked : out.excluded).push_back(std::move(entry.candidate));
  return out;
}

}  // namespace slm::select
