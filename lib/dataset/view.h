// Views of curated calls by task and side of the split. Ids and numbers only; text is streamed from the store on
// demand and never lies on disk in clear.
//
// A side is decided by the curator for a whole session group (trials of one case, near-duplicate sessions) and stored
// in each call's meta; this room only reads it. Requires: a store opened as trainer (or curator). Units: tokens as
// billed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "call/call.h"
#include "core/ids.h"
#include "store/store.h"

namespace slm::dataset {

enum class Side : uint8_t { kTrain, kValidation, kTest };
std::string_view side_name(Side side);
std::optional<Side> parse_side(std::string_view name);

// The session group that a call counts under: its group, else its session, else a group of its own.
std::string group_of(const CallMeta& meta);

struct Row {
  CallId id;
  uint32_t task = 0;   // index given by the caller
  uint32_t group = 0;  // index of its session group
  uint32_t seq = 0;
  Side side = Side::kTrain;
  bool outlier = false, failed = false, bad_session = false, hci = false, has_truth = false;
  uint32_t n_in = 0, n_out = 0;  // tokens
};

class View {
 public:
  // Reads the meta of all curated calls once. task_of says each call's task (index) or nothing (then it isn't in the
  // view).
  struct TaskOf {
    uint32_t task = 0;
    bool outlier = false;
  };
  static Result<View> build(store::Store& store, const std::unordered_map<CallId, TaskOf>& task_of,
                            std::string_view purpose);

  const std::vector<Row>& rows() const { return rows_; }  // store order
  const std::string& group_name(uint32_t group) const { return groups_[group]; }
  size_t n_groups() const { return groups_.size(); }
  // Rows (indices into rows()) of one task on one side, in store order; calls that failed and calls
  // of failed sessions never.
  struct Select {
    uint32_t task = 0;
    Side side = Side::kTrain;
  };
  std::vector<uint32_t> select(const Select& what) const;
  // One call per session group, drawn by keyed hash (the units of the verdict). Deterministic per store.
  Result<std::vector<uint32_t>> one_per_group(const store::Store& store, const std::vector<uint32_t>& rows) const;
  // Does every unit of the task have its truth? Units: one_per_group of the test side's calls that neither failed nor
  // are outliers. False without units.
  Result<bool> units_have_truth(const store::Store& store, uint32_t task) const;
  // Keyed hash over the ordered ids and plaintext hashes of these rows' metas: what manifests name the set by.
  Result<std::string> digest(const store::Store& store, const std::vector<uint32_t>& rows) const;
  // Streams the calls of these rows (bodies opened), in store order, each once.
  // Errors: kManifestMismatch if one of them is no longer in the store.
  Status load(store::Store& store, const std::vector<uint32_t>& rows, std::string_view purpose,
              const std::function<Status(uint32_t row, Call& call)>& visit) const;

 private:
  std::vector<Row> rows_;
  std::vector<std::string> groups_;
  std::vector<Digest> meta_hashes_;
};

}  // namespace slm::dataset
