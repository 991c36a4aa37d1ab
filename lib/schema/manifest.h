// The manifest that every step writes last, beside what it made. It names inputs and outputs by digest, so that the
// next step refuses what doesn't belong together and `run` skips what hasn't changed. It never holds text of a call.
//
// Source: schemas/manifest/manifest.schema.json is the shape on disk.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "schema/json.h"

namespace slm {

inline constexpr int kManifestSchema = 1;
std::string_view tool_version();

struct Manifest {
  std::string step;     // "scrub", "cluster", "select", "finetune", "evaluate", "report"
  std::string id;       // first 16 hexadecimal digits of digest()
  json::object config;  // resolved settings that shape the result
  uint64_t seed = 0;
  std::map<std::string, std::string> inputs;  // name → digest, e.g. "curated" → keyed hash of ordered ids and metas
  std::map<std::string, std::string> outputs;  // file → digest of its plaintext
  int64_t n_in = 0, n_out = 0;
  std::map<std::string, int64_t> dropped;  // reason → n; n_in = n_out + all of these
  json::object summary;                    // results that are public (counts, scores), by the step
  // Not part of the digest:
  std::string tool = std::string(tool_version());
  int64_t made_ms = 0;
  double seconds = 0;
  std::string device = "cpu";

  // SHA-256 over step, config, seed and inputs: what the step is asked to do.
  std::string input_digest() const;
  // SHA-256 over input_digest, outputs, counts and summary.
  std::string digest() const;
};

json::object to_json(const Manifest& manifest);
// Errors: kBadInput against the schema; kFormatTooNew for a later schema number.
Result<Manifest> manifest_from_json(const json::value& value);
Result<Manifest> read_manifest(const std::filesystem::path& dir);  // dir/manifest.json
// Checks n_in = n_out + Σ dropped (kUnexpected otherwise) and writes dir/manifest.json.
Status write_manifest(const std::filesystem::path& dir, const Manifest& manifest);

}  // namespace slm
