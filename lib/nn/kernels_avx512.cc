// The kernels for: AVX-512 F, BW, VL, DQ (compile flags in lib/CMakeLists.txt).
#define SLM_ISA avx512
#define SLM_TABLE kKernels_avx512
#include "nn/kernels_impl.h"
