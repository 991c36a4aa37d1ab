// What --device names, opened. The program is linked with libtorch's CPU part alone: the CUDA part, where this libtorch
// has one, is loaded when a device of its is asked for first, so that no other run pays for loading it.
#include <ATen/Context.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include "nn/decoder.h"

namespace slm::nn {

namespace {

// Registers itself with libtorch as it loads, which must be before libtorch is asked for CUDA first.
bool load_cuda_part() {
  static const bool loaded = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr;
  return loaded;
}

}  // namespace

Result<at::Device> open_device(const std::string& name) {
  const bool cuda = name == "cuda" || (name.starts_with("cuda:") && name.size() > 5 &&
                                       name.find_first_not_of("0123456789", 5) == std::string::npos);
  if (!cuda && name != "cpu")
    return fail(ErrorCode::kUsage, fmt::format("device \"{}\"; known: cpu, cuda, cuda:N", name), "use --device cpu");
  return guarded([&]() -> Result<at::Device> {
    if (cuda && !load_cuda_part())
      return fail(ErrorCode::kOutOfMemory,
                  fmt::format("device \"{}\": the CUDA part of this libtorch is missing, or its libraries are", name),
                  "use --device cpu, or build with a libtorch for CUDA");
    if (cuda && !at::hasCUDA())
      return fail(ErrorCode::kOutOfMemory, fmt::format("device \"{}\": libtorch sees no CUDA device", name),
                  "use --device cpu");
    return at::Device(name);
  });
}

}  // namespace slm::nn
