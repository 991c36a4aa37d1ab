// Files of schemas/ compiled into the program (JSON schemas, SQL migrations, the catalogue).
#pragma once

#include <string_view>
#include <vector>

namespace slm::embedded {

struct File {
  const char* name;  // relative to the source folder, e.g. "schemas/manifest/manifest.schema.json"
  const char* data;
  size_t size;
};
extern const File kFiles[];
extern const unsigned kFileCount;

// Content of one file; empty if there is none of that name.
inline std::string_view file(std::string_view name) {
  for (unsigned i = 0; i < kFileCount; ++i)
    if (name == kFiles[i].name) return {kFiles[i].data, kFiles[i].size};
  return {};
}
// All files whose name begins with `prefix`, sorted by name.
std::vector<File> files(std::string_view prefix);

}  // namespace slm::embedded
