// Where the tests of the language rooms find data, and a folder of their own to write in.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace slm {

inline std::filesystem::path test_data() { return std::filesystem::path(SLM_SOURCE_DIR) / "tests/data"; }
// Data written by others, beside the project; may be absent.
inline std::filesystem::path outside_data() { return std::filesystem::path(SLM_SOURCE_DIR) / "../shared/data"; }
inline std::filesystem::path scratch_dir(const std::string& name) {
  const auto dir = std::filesystem::temp_directory_path() / ("slm_" + name + "_" + std::to_string(getpid()));
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  return dir;
}

}  // namespace slm
