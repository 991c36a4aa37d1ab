#include "select/artifact.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"
#include "schema/artifacts.h"

namespace slm::select {
namespace {

namespace fs = std::filesystem;

json::object score_json(const Score& score) {
  return {{"benchmark", score.benchmark},
          {"version", score.version},
          {"value", score.value},
          {"protocol", score.protocol},
          {"source", score.source}};
}

json::object candidate_json(const Candidate& candidate) {
  json::object out;
  out["model"] = candidate.model;
  out["architecture"] = candidate.architecture;
  out["n_parameters"] = candidate.n_parameters;
  out["context"] = candidate.context;
  out["licence"] = candidate.licence;
  out["local"] = candidate.local;
  if (candidate.local) {
    out["path"] = candidate.path.string();
    out["digest"] = candidate.digest;
  } else {
    out["get_from"] = candidate.get_from;
  }
  out["serve_bytes"] = candidate.serve_bytes;
  out["train_bytes"] = candidate.train_bytes;
  if (candidate.score) out["score"] = score_json(*candidate.score);
  json::array exclusions;
  for (const Exclusion& row : candidate.exclusions)
    exclusions.push_back({{"reason", row.reason}, {"detail", row.detail}});
  out["exclusions"] = std::move(exclusions);
  out["why"] = candidate.why;
  return out;
}

Result<Candidate> candidate_from_json(const json::value& value) {
  constexpr std::string_view kWhat = "candidate";
  SLM_TRY(const json::object* row, want_object(value, kWhat));
  Candidate out;
  SLM_TRY(out.model, want_string(*row, "model", kWhat));
  SLM_TRY(out.architecture, want_string(*row, "architecture", kWhat));
  SLM_TRY(out.n_parameters, want_int(*row, "n_parameters", kWhat));
  out.context = get_int(*row, "context").value_or(0);
  out.licence = std::string(get_string(*row, "licence"));
  out.local = get_bool(*row, "local").value_or(false);
  out.path = std::string(get_string(*row, "path"));
  out.digest = std::string(get_string(*row, "digest"));
  out.get_from = std::string(get_string(*row, "get_from"));
  out.serve_bytes = get_int(*row, "serve_bytes").value_or(0);
  out.train_bytes = get_int(*row, "train_bytes").value_or(0);
  if (const json::object* score = get_object(*row, "score")) {
    out.score.emplace();
    out.score->benchmark = std::string(get_string(*score, "benchmark"));
    out.score->version = std::string(get_string(*score, "version"));
    out.score->value = get_number(*score, "value").value_or(0);
    out.score->protocol = std::string(get_string(*score, "protocol"));
    out.score->source = std::string(get_string(*score, "source"));
  }
  if (const json::array* exclusions = get_array(*row, "exclusions")) {
    for (const auto& item : *exclusions) {
      SLM_TRY(const json::object* exclusion, want_object(item, kWhat));
      out.exclusions.push_back(
          {std::string(get_string(*exclusion, "reason")), std::string(get_string(*exclusion, "detail"))});
    }
  }
  out.why = std::string(get_string(*row, "why"));
  return out;
}

Status read_candidates(const json::object& task, std::string_view key, std::vector<Candidate>& out) {
  const json::array* list = get_array(task, key);
  if (!list)
    return fail(ErrorCode::kBadInput, fmt::format("candidates.json: \"{}\" is missing", key), "slmconv select");
  for (const auto& item : *list) {
    SLM_TRY(Candidate candidate, candidate_from_json(item));
    out.push_back(std::move(candidate));
  }
  return {};
}

// Files that decide what a model answers.
bool belongs_to_model(const std::string& name) {
  static constexpr std::string_view kNames[] = {"config.json",
                                                "generation_config.json",
                                                "tokenizer.model",
                                                "tokenizer.json",
                                                "vocab.json",
                                                "merges.txt",
                                                "added_tokens.json",
                                                "tokenizer_config.json",
                                                "chat_template.jinja",
                                                "special_tokens_map.json",
                                                "model.safetensors.index.json"};
  return name.ends_with(".safetensors") || std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace

const Candidate* TaskCandidates::chosen() const {
  const auto found = std::find_if(ranked.begin(), ranked.end(), [](const Candidate& c) { return c.local; });
  return found == ranked.end() ? nullptr : &*found;
}

const TaskCandidates* Selection::find(const TaskId& task) const {
  const auto found = std::find_if(tasks.begin(), tasks.end(), [&](const TaskCandidates& t) { return t.task == task; });
  return found == tasks.end() ? nullptr : &*found;
}

json::object to_json(const TaskCandidates& candidates) {
  json::array ranked, excluded;
  for (const Candidate& candidate : candidates.ranked) ranked.push_back(candidate_json(candidate));
  for (const Candidate& candidate : candidates.excluded) excluded.push_back(candidate_json(candidate));
  return {{"task", candidates.task.value},
          {"name", candidates.name},
          {"kind", score::kind_name(candidates.kind)},
          {"context_needed", candidates.context_needed},
          {"ranked", std::move(ranked)},
          {"excluded", std::move(excluded)}};
}

Result<TaskCandidates> candidates_from_json(const json::value& value) {
  constexpr std::string_view kWhat = "candidates.json";
  SLM_TRY(const json::object* row, want_object(value, kWhat));
  TaskCandidates out;
  SLM_TRY(out.task.value, want_string(*row, "task", kWhat));
  SLM_TRY(out.name, want_string(*row, "name", kWhat));
  SLM_TRY(const std::string kind, want_string(*row, "kind", kWhat));
  const auto parsed = score::parse_kind(kind);
  if (!parsed) return fail(ErrorCode::kBadInput, fmt::format("{}: unknown kind \"{}\"", kWhat, kind), "slmconv select");
  out.kind = *parsed;
  SLM_TRY(out.context_needed, want_int(*row, "context_needed", kWhat));
  SLM_CHECK(read_candidates(*row, "ranked", out.ranked));
  SLM_CHECK(read_candidates(*row, "excluded", out.excluded));
  return out;
}

Result<Selection> load_selection(const std::filesystem::path& store_dir) {
  Selection out;
  SLM_TRY(out.manifest, read_current(store_dir, kStep));
  SLM_TRY(const json::value value, read_json_file(artifact_dir(store_dir, kStep, out.manifest.id) / "candidates.json"));
  const auto output = out.manifest.outputs.find("candidates.json");
  if (output == out.manifest.outputs.end() || output->second != sha256_hex(canonical_json(value)))
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("selection {}: candidates.json isn't what its manifest names", out.manifest.id),
                "slmconv select");
  SLM_TRY(const json::object* root, want_object(value, "candidates.json"));
  const json::array* tasks = get_array(*root, "tasks");
  if (!tasks) return fail(ErrorCode::kBadInput, "candidates.json: \"tasks\" is missing", "slmconv select");
  for (const auto& item : *tasks) {
    SLM_TRY(TaskCandidates task, candidates_from_json(item));
    out.tasks.push_back(std::move(task));
  }
  return out;
}

Result<std::string> model_digest(const std::filesystem::path& dir) {
  std::vector<std::string> names;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(dir, ec)) {
    std::string name = entry.path().filename().string();
    if (belongs_to_model(name)) names.push_back(std::move(name));
  }
  if (ec) return fail(ErrorCode::kIo, fmt::format("{}: {}", dir.string(), ec.message()));
  std::sort(names.begin(), names.end());
  const bool has_weights =
      std::any_of(names.begin(), names.end(), [](const std::string& name) { return name.ends_with(".safetensors"); });
  if (!std::binary_search(names.begin(), names.end(), "config.json") || !has_weights)
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("{}: no model here (needs config.json and *.safetensors)", dir.string()));
  Sha256 hash;
  for (const std::string& name : names) {
    SLM_TRY(const Digest digest, sha256_file(dir / name));
    hash.update(name);
    hash.update(std::string_view("\n"));
    hash.update(ByteSpan(digest));
  }
  return to_hex(hash.finish());
}

}  // namespace slm::select
