// Settings of the whole process for the memory of networks, made once, when the first network is.
// - malloc keeps what is freed (glibc). A step of training frees and takes the same hundreds of megabytes again; given
//   back to the kernel in between, every page would fault and be zeroed anew: 15–25 % of a step of a small model.
// - oneDNN and libtorch each keep up to 1024 compiled matrix products, about 1 MB each, one for each shape met; nearly
//   every batch has a number of tokens of its own, so these would come to a gigabyte. They keep what one batch needs.
// Values that are set in the environment (LRU_CACHE_CAPACITY, ONEDNN_PRIMITIVE_CACHE_CAPACITY) are left as they are.
// Source: oneDNN's "Primitive Cache" (developer guide), ideep's lru_cache.hpp, mallopt(3); cgroups(7), and the kernel's
//   "Control Group v2" for memory.max.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace slm::nn {

void settle_process_memory();

// Bytes that processes here may have: the machine's memory, or less where a control group's limit is lower, as in a
// container or a Slurm job.
int64_t machine_memory_bytes();
// The lowest memory.max from `group` ("/a/b", as in /proc/self/cgroup) up to `root`; INT64_MAX: none is set.
int64_t group_limit_bytes(const std::filesystem::path& root, std::string_view group);

}  // namespace slm::nn
