// Inside of a task map, and its files. For this room only; others use cluster/artifact.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/artifact.h"
#include "cluster/features.h"

namespace slm::cluster {

inline constexpr std::string_view kStep = "cluster";
inline constexpr std::string_view kMapFile = "map.bin", kCallsFile = "calls.bin";
inline constexpr size_t kMaxTasks = 65535;

struct TaskMap::Impl {
  Featuriser features;
  embed::DenseMatrix centroids;      // [C, D]
  std::vector<uint32_t> task_of;     // [C] index of a task: tasks that a person merged have several centroids
  std::vector<uint32_t> numbers;     // [C] permanent number of what this centroid found; task_id() makes it an id
  std::vector<float> outlier_below;  // [C] similarity under which a call is an outlier
  uint32_t next_task = 1;            // number of the next new task: numbers are never used again

  // Nearest centroid and its similarity. `vector` has features.width() floats.
  struct Hit {
    uint32_t centroid = 0;
    float similarity = 0;
    bool outlier = false;
  };
  Hit nearest(const float* vector) const;
  Hit nearest(const RequestText& request) const;
};

// Errors of load_tasks that `cluster --anew` gets around: damaged, newer, not what its manifest names.
bool is_unreadable(ErrorCode code);

// "t03" for 3.
std::string task_id(uint32_t number);
std::string sealed_name(std::string_view id, std::string_view file);

json::array tasks_to_json(const std::vector<TaskInfo>& tasks);
Result<std::vector<TaskInfo>> tasks_from_json(const json::value& value);

Bytes serialise_calls(const std::vector<AssignedCall>& calls);
// Errors: kBadInput on damaged bytes or an index of no task.
Result<std::vector<AssignedCall>> parse_calls(ByteSpan bytes, size_t n_tasks);

}  // namespace slm::cluster
