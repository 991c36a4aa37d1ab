// S2: raw calls in, curated calls out: private data replaced, failures and repetitions left out, each session group put
// on its side of the split.
//
// Three passes over the raw calls in the order of the store: (1) learn the names and numbers that each session gives
// away by context, (2) scrub in memory: duplicates, groups, counts, the gate, (3) scrub again and append what isn't
// curated yet. Everything is decided by the whole of raw, so a later run with more calls decides the same for the old
// ones and appends only new ones; what an earlier run appended is never changed, and a group it wrote keeps its name
// and side.
//
// Memory: in hashes, 0.41 KB a kept call and 0.24 KB a session; of text only the names and numbers of pass 1. Where
// each call is a session of its own that is 0.65 KB a call, 0.79 KB with a name in each. Beside that, texts that come
// again and again are remembered, 16 MB of them.
//
// Requires: a store opened by a curator for writing.
// Units: ratios in [0,1].
// Errors: kWrongKey, kBadInput, kInterrupted (batches that were committed stay; the next run goes on), kIo.
// Threads: one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/progress.h"
#include "core/time.h"
#include "schema/manifest.h"
#include "scrub/artifact.h"
#include "scrub/rules.h"
#include "store/store.h"

namespace slm::scrub {

struct ScrubOptions {
  Rules rules;
  double validation = 0.10, test = 0.20;            // shares of session groups; a group keeps the side it got first
  bool keep_duplicates = false;                     // keep exact and near duplicates; groups are merged all the same
  bool no_hci = false;                              // leave out calls whose answer speaks to a human
  double near = 0.9;                                // similarity from which a call is a near duplicate
  std::optional<std::filesystem::path> answer_key;  // measure the privacy gate
  Progress* progress = &null_progress();
  Clock* clock = nullptr;
};

struct ScrubResult {
  Report report;
  std::string artifact;       // id of the current artefact; "" if there is none
  bool changed = false;       // false: no new calls, same settings; nothing was done
  int64_t n_added = 0;        // calls appended now
  int64_t n_other_rules = 0;  // curated before under other settings: they stay as they are
  double seconds = 0;
  std::string gate_failures;  // types below their bound; then nothing was appended. "" = met or not measured
};

Result<ScrubResult> run_scrub(store::Store& store, const ScrubOptions& options);

}  // namespace slm::scrub
