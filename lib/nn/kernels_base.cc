// The kernels for: Any CPU (compile flags in lib/CMakeLists.txt).
#define SLM_ISA base
#define SLM_TABLE kKernels_base
#include "nn/kernels_impl.h"
