#include "nn/heap.h"

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace slm::nn {

void keep_freed_memory() {
#ifdef __GLIBC__
  [[maybe_unused]] static const bool once = [] {
    return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1;
  }();
#endif
}

}  // namespace slm::nn
