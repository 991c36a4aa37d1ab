// What to import: paths, folders, globs and "-" turned into a list of files.
//
// Errors: kUsage for a path that isn't there and a pattern without a match; kBadInput for a folder without a log; kIo.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"

namespace slm::collect {

struct Input {
  std::string name;            // as shown; "-" is standard input
  std::filesystem::path path;  // empty for standard input
  uint64_t n_bytes = 0;        // 0: not known
};
// Folders give their *.json, *.jsonl and *.ndjson files, also with .gz or .zst behind, recursively, in order of name
// (links to folders aren't followed). A file that is named twice is taken once.
Result<std::vector<Input>> expand_inputs(const std::vector<std::string>& paths);

}  // namespace slm::collect
