// S1: logged calls from files, plain or compressed, into the sealed store.
//
// A record (a line, an element) is read by the dialect that knows it and gives one or more calls; a line that is a list
// no dialect knows is a list of records. Before a call is handed to the store its source and session become pseudonyms;
// the log's own words for them are kept nowhere. Importing a file twice stores each call once; two equal calls of one
// file stay two. A record that can't be read (not JSON, or more than 96 levels deep) is counted with its reason and
// never ends the import.
// Units: times in ms since the epoch; bytes of the input as it lies on disk.
// Memory: flat, but for 12 to 25 bytes per call of the file being read (occurrences.h), and what a dialect that joins
//   records holds back (RecordJoiner).
// Errors: kBadInput (a compressed file that is damaged or cut: what was read of it is committed; nothing readable),
// kUsage (no such path, unknown format), kInterrupted
//   (what was read is committed), kIo, and what the store returns. Too many unreadable records are no error here:
//   Report::too_many_skipped.
// Threads: one calls; another one of its own names, seals and commits (write_queue.h).
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collect/inputs.h"
#include "collect/reader.h"
#include "core/progress.h"
#include "store/store.h"

namespace slm::collect {

struct ImportOptions {
  std::string format;         // dialect to force; "" finds it record by record
  bool no_hci = false;        // leave human-facing calls out
  double max_skipped = 0.01;  // share of unreadable records that is still fine
  uint64_t max_record_bytes = kDefaultMaxRecordBytes;
  int64_t batch_calls = 4096;  // calls per signed batch
  int n_warnings = 20;         // unreadable records that are shown one by one
};

// What calls of one site, model or dialect add up to.
struct Tally {
  int64_t n_calls = 0, n_hci = 0, n_failed = 0;
  int64_t n_in = 0, n_out = 0;  // tokens as billed, where the log has them
};

struct Report {
  int64_t n_files = 0;
  uint64_t n_bytes = 0;
  int64_t n_records = 0;                   // readable or not
  int64_t n_bad = 0;                       // not readable
  int64_t n_calls = 0;                     // that readable records gave, and the format doesn't exclude
  int64_t n_added = 0;                     // stored now; under dry run: would be stored if none were known
  std::map<std::string, int64_t> dropped;  // reason → n: bad records, "already_stored", "erased_source",
                                           // "human_facing", "weight_0"
  std::map<std::string, int64_t> failed;   // reason → n, of the calls not left out as human-facing
  int64_t n_hci = 0, n_bad_session = 0, n_truth = 0, n_vision = 0;  // of n_calls
  std::map<std::string, Tally> dialects, sites, models;  // at most kMaxTallies names each, the rest as "(others)"
  std::optional<int64_t> first_ms, last_ms;
  bool too_many_skipped = false;
  int64_t n_excluded =
      0;  // what the format itself leaves out: turns of weight 0, spans that are no calls or hold no text

  int64_t n_in() const { return n_calls + n_bad + n_excluded; }  // = n_added + Σ dropped
};
inline constexpr size_t kMaxTallies = 1000;

struct ImportTools {
  store::Store* store = nullptr;  // opened by a collector for writing; nullptr: dry run
  Progress* progress = nullptr;   // nullptr: silent
  std::istream* in = nullptr;     // what "-" reads
};

Result<Report> import_logs(const std::vector<Input>& inputs, const ImportOptions& options, const ImportTools& tools);

}  // namespace slm::collect
