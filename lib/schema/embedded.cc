#include "schema/embedded.h"

#include <algorithm>

namespace slm::embedded {

std::vector<File> files(std::string_view prefix) {
  std::vector<File> out;
  for (unsigned i = 0; i < kFileCount; ++i)
    if (std::string_view(kFiles[i].name).starts_with(prefix)) out.push_back(kFiles[i]);
  std::sort(out.begin(), out.end(), [](const File& a, const File& b) { return std::string_view(a.name) < b.name; });
  return out;
}

}  // namespace slm::embedded
