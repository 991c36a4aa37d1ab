// tasks.toml: what a person says about tasks. One table a task id:
//
//   [t03]
//   name = "refund-lookup"   # a-z, 0-9 and hyphens, at most 40
//   exclude = true           # not converted; stays with the large model
//   merge = "t01"            # its calls count as t01's
//
// Errors: kBadInput naming the task and the key.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "core/error.h"

namespace slm::cluster {

struct TaskRule {
  std::string name;   // "": as found
  std::string merge;  // "": none
  bool exclude = false;
};
using TaskRules = std::map<std::string, TaskRule>;  // by task id

Result<TaskRules> read_task_rules(const std::filesystem::path& path);

}  // namespace slm::cluster
