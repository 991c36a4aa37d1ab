#include "nn/kernels.h"

#include <cstdlib>
#include <cstring>

#include "nn/engine.h"

namespace slm::nn {

extern const Kernels kKernels_base;
#ifdef SLM_X86_KERNELS
extern const Kernels kKernels_avx2;
extern const Kernels kKernels_avx512;
#endif

const Kernels* kernels_named(const char* name) {
  if (std::strcmp(name, "base") == 0) return &kKernels_base;
#ifdef SLM_X86_KERNELS
  __builtin_cpu_init();
  if (std::strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return &kKernels_avx2;
  if (std::strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return &kKernels_avx512;
#endif
  return nullptr;
}

const Kernels& kernels() {
  static const Kernels& best = []() -> const Kernels& {
    const char* wanted = std::getenv("SLMCONV_ISA");
    bool allowed = wanted == nullptr;
    for (const char* name : {"avx512", "avx2", "base"}) {
      allowed = allowed || std::strcmp(wanted, name) == 0;
      if (const Kernels* found = allowed ? kernels_named(name) : nullptr) return *found;
    }
    return kKernels_base;
  }();
  return best;
}

bool cpu_has_bf16() {
#ifdef SLM_X86_KERNELS
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

}  // namespace slm::nn
