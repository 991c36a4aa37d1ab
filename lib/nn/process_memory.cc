#include "nn/process_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace slm::nn {

void settle_process_memory() {
  [[maybe_unused]] static const bool once = [] {
    // A layer's products with their adapters, forward and backward, are about forty shapes.
    for (const char* name : {"LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"}) setenv(name, "64", 0);
#ifdef __GLIBC__
    return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1;
#else
    return true;
#endif
  }();
}

int64_t group_limit_bytes(const std::filesystem::path& root, std::string_view group) {
  int64_t out = std::numeric_limits<int64_t>::max();
  for (auto at = std::filesystem::path(group).relative_path();; at = at.parent_path()) {
    int64_t bytes = 0;
    std::ifstream file(root / at / "memory.max");
    if (file >> bytes) out = std::min(out, bytes);  // "max" is no number
    if (at.empty()) return out;
  }
}

int64_t machine_memory_bytes() {
  int64_t out = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);)
    if (line.starts_with("0::")) out = std::min(out, group_limit_bytes("/sys/fs/cgroup", line.substr(3)));
  return out;
}

}  // namespace slm::nn
