// The kernels for: AVX2 and FMA (compile flags in lib/CMakeLists.txt).
#define SLM_ISA avx2
#define SLM_TABLE kKernels_avx2
#include "nn/kernels_impl.h"
