// What clustering leaves behind: the frozen task map. Stored types and pure functions over them; other steps use this
// header alone.
//
// `assign` uses the request only, since a router sees no answer; splits, volumes, verdicts and routing all use it.
// The map is made from text (its vocabulary), so it lies sealed to the trainer.
// Units: ratios in [0,1]; tokens; usd per month are left to reports.
// Errors: kBadInput on damaged bytes, kFormatTooNew, kIntegrity where a file isn't what its manifest names; the hint of
//   load_tasks is `slmconv cluster --anew`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "call/call.h"
#include "core/ids.h"
#include "schema/manifest.h"
#include "score/kind.h"
#include "store/store.h"

namespace slm::cluster {

struct TaskInfo {
  TaskId id;         // permanent, e.g. "t03"
  std::string name;  // from terms that occur in scrubbed text of ≥ 20 sessions; public
  score::TaskKind kind = score::TaskKind::kOpenText;
  int64_t n_calls = 0, n_sessions = 0, n_outliers = 0;
  int64_t n_in_tokens = 0, n_out_tokens = 0;  // as billed; estimated at 4 bytes a token where the log has none
  int64_t p50_tokens = 0, p99_tokens = 0;     // of in + out
  double call_share = 0, token_share = 0, cost_share = 0;
  std::string model;      // the logged model most calls used
  bool excluded = false;  // tasks.toml says so
  double cohesion = 0;    // mean cosine of its calls to its centroid
};

struct Assignment {
  TaskId task;
  bool outlier = false;  // far from every centroid
  float similarity = 0;  // cosine to the task's centroid
};

// As in the manifest's summary.tasks.
json::object to_json(const TaskInfo& task);

class TaskMap {
 public:
  static Result<TaskMap> parse(ByteSpan bytes);
  Bytes serialise() const;
  // Deterministic; same answer for the same request for ever.
  Assignment assign(const Request& request) const;
  const std::vector<TaskInfo>& tasks() const { return tasks_; }
  const TaskInfo* find(const TaskId& id) const;
  // By id or by name; nullptr if none.
  const TaskInfo* find(std::string_view id_or_name) const;

  struct Impl;  // embedder and centroids
  TaskMap(std::shared_ptr<const Impl> impl, std::vector<TaskInfo> tasks);
  const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
  std::vector<TaskInfo> tasks_;
};

// Task of each curated call, in store order: what `assign` said when the map was frozen, kept so that steps need not
// embed again. Ids only, but sealed beside the map.
struct AssignedCall {
  CallId id;
  uint16_t task = 0;  // index into TaskMap::tasks()
  bool outlier = false;
};

// The current task map of a store, with its manifest. Opens sealed files: needs a trainer.
struct LoadedTasks {
  Manifest manifest;
  TaskMap map;
  std::vector<AssignedCall> calls;
};
Result<LoadedTasks> load_tasks(store::Store& store);
// Public list of tasks of the current map, from the manifest's summary; needs no identity.
Result<std::vector<TaskInfo>> task_list(const std::filesystem::path& store_dir);

}  // namespace slm::cluster
