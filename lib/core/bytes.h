// Byte strings, hexadecimal, little-endian integers, fixed-size digests.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace slm {

using Bytes = std::vector<uint8_t>;
using ByteSpan = std::span<const uint8_t>;
using Digest = std::array<uint8_t, 32>;  // SHA-256 or HMAC-SHA256

inline ByteSpan as_bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
inline std::string_view as_text(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

std::string to_hex(ByteSpan bytes);
// Errors: kBadInput on an odd length or a character outside 0-9a-fA-F.
Result<Bytes> from_hex(std::string_view hex);

// Appends an unsigned integer, least significant byte first.
inline void put_u16(Bytes& out, uint16_t v) {
  for (int i = 0; i < 2; ++i) out.push_back(static_cast<uint8_t>(v >> (8 * i)));
}
inline void put_u32(Bytes& out, uint32_t v) {
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<uint8_t>(v >> (8 * i)));
}
inline void put_u64(Bytes& out, uint64_t v) {
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<uint8_t>(v >> (8 * i)));
}
inline void put_bytes(Bytes& out, ByteSpan v) { out.insert(out.end(), v.begin(), v.end()); }
// Length-prefixed (u32): for canonical encodings, so that two fields can't run into each other.
inline void put_field(Bytes& out, ByteSpan v) {
  put_u32(out, static_cast<uint32_t>(v.size()));
  put_bytes(out, v);
}
inline uint32_t get_u32(const uint8_t* p) {
  return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}
inline uint64_t get_u64(const uint8_t* p) { return uint64_t{get_u32(p)} | uint64_t{get_u32(p + 4)} << 32; }

}  // namespace slm
