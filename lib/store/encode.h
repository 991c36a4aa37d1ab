// Reading of canonical encodings: fixed-width little-endian integers and length-prefixed fields, in order, nothing
// left.
//
// Errors: a cursor that ran past its end stays failed; done() says kIntegrity unless everything was read, and exactly.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "core/bytes.h"

namespace slm::store {

using Id16 = std::array<uint8_t, 16>;

// Begins a canonical encoding with a label that says what it is of. Out of line: GCC 12 warns of overflows that
// aren't there when it sees the label's length.
Bytes labelled(std::string_view label, size_t reserve = 256);

class Cursor {
 public:
  explicit Cursor(ByteSpan bytes) : bytes_(bytes) {}
  uint8_t u8() {
    const ByteSpan b = take(1);
    return b.empty() ? uint8_t{0} : b[0];
  }
  uint16_t u16() {
    const ByteSpan b = take(2);
    return b.empty() ? uint16_t{0} : static_cast<uint16_t>(b[0] | b[1] << 8);
  }
  uint32_t u32() {
    const ByteSpan b = take(4);
    return b.empty() ? 0 : get_u32(b.data());
  }
  uint64_t u64() {
    const ByteSpan b = take(8);
    return b.empty() ? 0 : get_u64(b.data());
  }
  template <size_t N>
  std::array<uint8_t, N> fixed() {
    std::array<uint8_t, N> out{};
    const ByteSpan b = take(N);
    std::copy(b.begin(), b.end(), out.begin());
    return out;
  }
  ByteSpan field() { return take(u32()); }
  ByteSpan rest() { return take(bytes_.size() - at_); }
  size_t left() const { return failed_ ? 0 : bytes_.size() - at_; }
  bool failed() const { return failed_; }
  Status done(std::string_view what) const {
    if (failed_ || at_ != bytes_.size())
      return fail(ErrorCode::kIntegrity, std::string(what) + " isn't canonically encoded");
    return {};
  }

 private:
  ByteSpan take(size_t n) {
    if (failed_ || n > bytes_.size() - at_) {
      failed_ = true;
      return {};
    }
    const ByteSpan out = bytes_.subspan(at_, n);
    at_ += n;
    return out;
  }
  ByteSpan bytes_;
  size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace slm::store
