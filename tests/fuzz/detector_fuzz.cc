// libFuzzer target: private data in arbitrary text. What is found lies in the text, in order, without overlaps.
#include <cstdint>
#include <string>
#include <vector>

#include "core/utf8.h"
#include "scrub/detect/detector.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto detector =
      slm::scrub::Detector::create({}, std::vector<bool>(slm::scrub::kNumBuiltinTypes, true)).value();
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (!slm::is_utf8(text)) return 0;
  size_t end = 0;
  for (const auto& found : detector.find(text, "note")) {
    if (found.begin < end || found.end <= found.begin || found.end > text.size()) __builtin_trap();
    end = found.end;
  }
  return 0;
}
