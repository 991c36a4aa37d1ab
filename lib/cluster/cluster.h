// S3: curated calls in, a frozen task map out. Fitted on a sample, then every call is assigned, streaming.
//
// Requires: a store opened by a trainer for writing; scrubbed calls in it.
// Errors: kBadInput (no calls, k above the distinct requests, a broken tasks.toml), kWrongKey, kInterrupted, kIo; those
//   of load_tasks where the earlier map can't be read. Nothing is left behind by a run that fails.
// Threads: uses OpenMP threads; the same map for any number of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cluster/artifact.h"
#include "core/progress.h"
#include "core/time.h"
#include "schema/manifest.h"
#include "store/store.h"

namespace slm::cluster {

struct ClusterOptions {
  size_t k = 0;  // tasks; 0: chosen (cluster/discover.h says how)
  uint64_t seed = 1;
  size_t n_sample = 20'000;  // calls the map is fitted on: bounds memory and time
  bool with_hci = false;     // also calls whose answer speaks to a human
  bool anew = false;         // where the earlier map can't be read: start without it; task numbers go on
  std::optional<std::filesystem::path> tasks_file;  // names, merges, exclusions (cluster/tasks_file.h)
  std::optional<std::filesystem::path> prices;      // else those inside the program
  Progress* progress = &null_progress();
  Clock* clock = nullptr;
};

struct ClusterResult {
  Manifest manifest;
  std::vector<TaskInfo> tasks;
  bool changed = false;  // false: same calls, same settings; nothing was done
};
Result<ClusterResult> run_cluster(store::Store& store, const ClusterOptions& options);

}  // namespace slm::cluster
