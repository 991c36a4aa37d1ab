// libFuzzer target: what a sealed frame holds once it is opened: its list of calls, and a group's header.
#include <cstdint>
#include <string_view>

#include "store/frames.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const slm::ByteSpan bytes(data, size);
  if (const auto slices = slm::store::decode_slices(bytes))
    if (slices->size() * slm::store::Slice::kBytes != size) __builtin_trap();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto header = slm::store::decode_header(text))
    if (!slm::store::decode_header(slm::as_text(slm::store::encode_header(*header)))) __builtin_trap();
  return 0;
}
