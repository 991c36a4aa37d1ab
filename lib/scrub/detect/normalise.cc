#include "scrub/detect/normalise.h"

#include <algorithm>
#include <cstring>

namespace slm::scrub {

namespace {

// First of ten consecutive decimal digits (Nd) of scripts in living use.
constexpr char32_t kDigitZeros[] = {0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66,
                                    0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20,
                                    0x1040, 0x1090, 0x17E0, 0x1810, 0xA9D0, 0xAA50, 0xABF0, 0xFF10};

constexpr char32_t kGone = 0;

char32_t fold(char32_t c) {
  if (c < 0x80) return c;
  if (c >= 0xFF01 && c <= 0xFF5E) return c - 0xFF01 + 0x21;
  switch (c) {
    case 0x00AD:  // soft hyphen
    case 0x034F:
    case 0x061C:
    case 0x180E:
    case 0x200B:
    case 0x200C:
    case 0x200D:
    case 0x200E:
    case 0x200F:
    case 0x2060:
    case 0x2061:
    case 0x2062:
    case 0x2063:
    case 0x2064:
    case 0xFEFF:
      return kGone;
    case 0x00A0:
    case 0x1680:
    case 0x202F:
    case 0x205F:
    case 0x3000:
      return ' ';
    case 0x2212:
    case 0xFE58:
    case 0xFE63:
      return '-';
    case 0x3002:  // ideographic full stop
    case 0x2024:
    case 0xFE52:
      return '.';
    default:
      break;
  }
  if (c >= 0x2000 && c <= 0x200A) return ' ';
  if (c >= 0x2010 && c <= 0x2015) return '-';
  if (c >= 0x202A && c <= 0x202E) return kGone;  // direction marks
  if (c >= 0x2066 && c <= 0x2069) return kGone;
  for (const char32_t zero : kDigitZeros)
    if (c >= zero && c < zero + 10) return U'0' + (c - zero);
  if (c >= 0x1D7CE && c <= 0x1D7FF) return U'0' + (c - 0x1D7CE) % 10;  // mathematical digits
  return c;
}

}  // namespace

char32_t next_char(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) {
    ++at;
    return lead;
  }
  const int n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  char32_t c = lead & (0xFF >> (n + 1));
  for (int k = 1; k < n; ++k) c = c << 6 | (byte(at + static_cast<size_t>(k)) & 0x3F);
  at = std::min(at + static_cast<size_t>(n), text.size());
  return c;
}

Normalised::Normalised(std::string_view original) : original_(original) {
  if (is_ascii(original)) return;
  // Most non-ASCII text has nothing to fold: look first, copy only if needed.
  for (size_t at = 0; at < original.size();) {
    const char32_t c = next_char(original, at);
    if (fold(c) != c) {
      folded_ = true;
      break;
    }
  }
  if (!folded_) return;
  text_.reserve(original.size());
  begins_.reserve(original.size());
  ends_.reserve(original.size());
  for (size_t at = 0; at < original.size();) {
    const size_t begin = at;
    const char32_t c = fold(next_char(original, at));
    if (c == kGone) continue;
    append_utf8(text_, c);
    begins_.resize(text_.size(), static_cast<uint32_t>(begin));
    ends_.resize(text_.size(), static_cast<uint32_t>(at));
  }
}

size_t Normalised::begin_in_original(size_t offset) const {
  if (!folded_) return offset;
  return offset < begins_.size() ? begins_[offset] : original_.size();
}

size_t Normalised::end_in_original(size_t offset) const {
  if (!folded_) return offset;
  return offset == 0 ? 0 : ends_[offset - 1];
}

}  // namespace slm::scrub
