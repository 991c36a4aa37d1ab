// What selection leaves behind: per task the ranked candidate models, and those left out with their reasons. Public: it
// holds no text of a call. Other steps use this header alone.
//
// STORE/artifacts/select/<id>/{manifest.json, candidates.json}.
// Units: bytes; tokens; scores in [0,1].
// Errors: kManifestMismatch when nothing was selected yet, kBadInput on a damaged file, kIo.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.h"
#include "schema/manifest.h"
#include "score/kind.h"

namespace slm::select {

inline constexpr std::string_view kStep = "select";

// A published figure. Two compare only when benchmark and version are the same.
struct Score {
  std::string benchmark, version;
  double value = 0;
  std::string protocol, source;
};

struct Exclusion {
  std::string reason;  // "architecture", "tokenizer", "licence", "context", "memory"
  std::string detail;  // value and bound
};

struct Candidate {
  std::string model;
  std::string architecture;
  int64_t n_parameters = 0;
  int64_t context = 0;  // 0: not known
  std::string licence;
  bool local = false;          // the weights are here
  std::filesystem::path path;  // local only
  std::string digest;          // local only: model_digest(path)
  std::string get_from;        // not local: where the weights are; may be empty
  int64_t serve_bytes = 0, train_bytes = 0;
  std::optional<Score> score;         // the one it was ranked by
  std::vector<Exclusion> exclusions;  // empty: admitted
  std::string why;                    // of its rank, for people
};

struct TaskCandidates {
  TaskId task;
  std::string name;
  score::TaskKind kind = score::TaskKind::kOpenText;
  int64_t context_needed = 0;     // tokens of in and out at the 99th percentile
  std::vector<Candidate> ranked;  // best first
  std::vector<Candidate> excluded;
  // The best candidate whose weights are here; nullptr if none.
  const Candidate* chosen() const;
};

struct Selection {
  Manifest manifest;
  std::vector<TaskCandidates> tasks;
  const TaskCandidates* find(const TaskId& task) const;
};
Result<Selection> load_selection(const std::filesystem::path& store_dir);

json::object to_json(const TaskCandidates& candidates);
Result<TaskCandidates> candidates_from_json(const json::value& value);

// SHA-256 over names and digests of what makes a model's answers: config.json, generation_config.json, tokenizer files,
// chat template, *.safetensors and its index. An adapter belongs to the base of this digest.
// Errors: kUnsupportedModel when there is no config.json or no *.safetensors; kIo.
Result<std::string> model_digest(const std::filesystem::path& dir);

}  // namespace slm::select
