// Walking over a protobuf message, which SentencePiece's model files are.
//
// Source: protobuf's "Encoding" page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slm::text {

// Reads one protobuf varint; false at the end of the bytes.
inline bool read_varint(std::string_view& bytes, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

// Calls on_field(number, varint value, bytes) for every field of a protobuf message; false if it is damaged.
template <class F>
bool walk_message(std::string_view bytes, F&& on_field) {
  while (!bytes.empty()) {
    uint64_t key = 0, value = 0;
    if (!read_varint(bytes, key)) return false;
    std::string_view body;
    size_t fixed = 0;
    switch (key & 7) {
      case 0:
        if (!read_varint(bytes, value)) return false;
        break;
      case 1:
        fixed = 8;
        break;
      case 5:
        fixed = 4;
        break;
      case 2:
        if (!read_varint(bytes, value) || value > bytes.size()) return false;
        fixed = static_cast<size_t>(value);
        break;
      default:
        return false;
    }
    if (fixed > bytes.size()) return false;
    body = bytes.substr(0, fixed);
    bytes.remove_prefix(fixed);
    on_field(key >> 3, value, body);
  }
  return true;
}

}  // namespace slm::text
