#include "nn/process_memory.h"

#include <cstdlib>

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

}  // namespace slm::nn
