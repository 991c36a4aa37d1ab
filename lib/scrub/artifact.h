// What scrubbing leaves behind: counts, no text. Stored types and pure functions over them; other steps use this header
// alone.
//
// artifacts/scrub/<id>/report.json has the shape of schemas/scrub/report.schema.json. The manifest's counts are of the
// store, not of the last run: n_in all raw calls, n_out all curated ones; its `outputs["curated"]` is curated_digest().
// Errors: kManifestMismatch when nothing was scrubbed yet, kBadInput on a damaged report, kIo.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "schema/manifest.h"
#include "store/store.h"

namespace slm::scrub {

inline constexpr std::string_view kStep = "scrub";

// One type's line of the privacy gate. A planted value counts once for each call that holds it.
struct GateRow {
  std::string type;       // or "decoy": values that look private and aren't
  int64_t n_planted = 0;  // of the key, in kept calls
  int64_t n_left = 0;     // still there after scrubbing; for decoys: changed
  int64_t n_found = 0;    // what the detectors took for this type
  int64_t n_false = 0;    // ... of it, in no line of the key
  double bound_recall = 0, bound_false = 0;
  double recall() const {
    return n_planted == 0 ? 1 : 1 - static_cast<double>(n_left) / static_cast<double>(n_planted);
  }
  double false_share() const { return n_found == 0 ? 0 : static_cast<double>(n_false) / static_cast<double>(n_found); }
  bool met() const { return recall() >= bound_recall && false_share() <= bound_false; }
};

struct Report {
  int64_t n_in = 0, n_out = 0;
  std::map<std::string, int64_t> dropped;         // n_in = n_out + all of these
  std::map<std::string, int64_t> found, actions;  // in kept calls: by type, by action
  std::map<std::string, int64_t> split_calls, split_groups;
  int64_t n_sessions = 0, n_groups = 0, n_merged_groups = 0;
  std::vector<std::string> linked_groups;  // pseudonyms: fixed earlier on the test side, now known to repeat the other
  int64_t n_files = 0;                     // encoded files taken out of kept calls: nobody can look into them
  int64_t n_logprobs_dropped = 0;          // kept calls whose logged probabilities went, because the answer was changed
  int64_t n_unmeasured = 0;                // values of the answer key that are too short to be looked for
  int64_t n_over_limit = 0;                // how often a pattern gave up; such calls are dropped as not_scanned
  std::vector<GateRow> gate;               // empty: not measured
};

json::object to_json(const Report& report);
Result<Report> report_from_json(const json::value& value);

// The report of the current artefact. Needs no identity.
Result<Report> load_report(const std::filesystem::path& store_dir);
// Keyed hash over the ordered ids and metas of all curated calls: what manifests name the curated set by. Readable by
// curator and trainer alike.
Result<std::string> curated_digest(store::Store& store, std::string_view purpose);

}  // namespace slm::scrub
