# Warnings and sanitizers for our own targets.
add_library(slm_options INTERFACE)
target_compile_options(slm_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers)
set(SLM_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")
if(SLM_SANITIZE)
  target_compile_options(slm_options INTERFACE -fsanitize=${SLM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(slm_options INTERFACE -fsanitize=${SLM_SANITIZE})
endif()
if(SLM_FUZZ)
  target_compile_options(slm_options INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(slm_options INTERFACE -fsanitize=address,undefined)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # ccache can only see through a precompiled header with this.
  target_compile_options(slm_options INTERFACE -fpch-preprocess)
  # GCC 12's false alarms inside std::string, std::vector and std::optional at -O2.
  target_compile_options(slm_options INTERFACE -Wno-restrict -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow)
endif()
