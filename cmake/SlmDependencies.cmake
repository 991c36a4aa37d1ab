# Third-party packages. Each becomes a target that rooms name in slm_room(... LIBS ...).
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenMP REQUIRED)  # Debian's faiss config needs it found first
# scripts/build_faiss.sh puts it there where the distribution has none.
if(DEFINED ENV{XDG_CACHE_HOME})
  set(slm_cache $ENV{XDG_CACHE_HOME})
else()
  set(slm_cache $ENV{HOME}/.cache)
endif()
find_package(faiss REQUIRED HINTS ${slm_cache}/slmconv/faiss)
find_package(Boost 1.81 REQUIRED CONFIG COMPONENTS json)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(brotli REQUIRED IMPORTED_TARGET libbrotlidec libbrotlicommon)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
# Not by pkg-config: Debian 13's sentencepiece.pc asks for protobuf's development files, which a user of the library doesn't need.
find_path(SLM_SENTENCEPIECE_DIR sentencepiece_processor.h REQUIRED)
find_library(SLM_SENTENCEPIECE_LIBRARY sentencepiece REQUIRED)
add_library(slm_sentencepiece INTERFACE)
target_include_directories(slm_sentencepiece SYSTEM INTERFACE ${SLM_SENTENCEPIECE_DIR})
target_link_libraries(slm_sentencepiece INTERFACE ${SLM_SENTENCEPIECE_LIBRARY})
find_path(SLM_CLI11_DIR CLI/CLI.hpp REQUIRED)
find_path(SLM_EXPECTED_DIR tl/expected.hpp REQUIRED)
find_path(SLM_PROTOZERO_DIR protozero/pbf_reader.hpp REQUIRED)
find_path(SLM_TOMLPP_DIR toml++/toml.h REQUIRED)
find_path(SLM_VALIJSON_DIR valijson/validator.hpp REQUIRED)

if(SLM_TORCH)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/find_torch.sh OUTPUT_VARIABLE SLM_TORCH_PREFIX
                  OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE rc)
  if(NOT rc EQUAL 0)
    message(FATAL_ERROR "No libtorch 2.6 or later. Run scripts/setup.sh, or configure with -DSLM_TORCH=OFF")
  endif()
  # Not by torch's own package: that of a CUDA build (PyPI's default) asks for the whole CUDA toolkit. The program links
  # libtorch's CPU part, of this one prefix; the CUDA part is loaded where a device is asked for (nn/device.cc).
  get_filename_component(slm_torch_root ${SLM_TORCH_PREFIX}/../.. ABSOLUTE)
  add_library(slm_torch INTERFACE)
  foreach(library torch_cpu c10)
    find_library(SLM_LIB_${library} ${library} PATHS ${slm_torch_root} PATH_SUFFIXES lib lib/${CMAKE_LIBRARY_ARCHITECTURE}
                 NO_DEFAULT_PATH REQUIRED)
    target_link_libraries(slm_torch INTERFACE ${SLM_LIB_${library}})
  endforeach()
  target_include_directories(slm_torch SYSTEM INTERFACE ${slm_torch_root}/include
                                                        ${slm_torch_root}/include/torch/csrc/api/include)
  target_compile_definitions(slm_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO USE_RPC USE_TENSORPIPE)
endif()

# torch's include folder holds a later fmt, and a system folder can't be put before it: a folder of links can.
find_path(SLM_FMT_DIR fmt/format.h PATHS /usr/include NO_DEFAULT_PATH REQUIRED)
set(SLM_FIRST_INCLUDES ${CMAKE_BINARY_DIR}/first-includes)
file(MAKE_DIRECTORY ${SLM_FIRST_INCLUDES})
file(CREATE_LINK ${SLM_FMT_DIR}/fmt ${SLM_FIRST_INCLUDES}/fmt SYMBOLIC)
