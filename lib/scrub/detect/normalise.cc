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

bool is_ascii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t eight;
    std::memcpy(&eight, text.data() + i, 8);
    if ((eight & 0x8080808080808080ULL) != 0) return false;
  }
  for (; i < text.size(); ++i)
    if (static_cast<unsigned char>(text[i]) >= 0x80) return false;
  return true;
}

bool is_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const int n = lead >= 0xC2 && lead <= 0xDF   ? 2
                  : lead >= 0xE0 && lead <= 0xEF ? 3
                  : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                 : 0;
    if (n == 0 || i + static_cast<size_t>(n) > text.size()) return false;
    for (int k = 1; k < n; ++k)
      if ((static_cast<unsigned char>(text[i + static_cast<size_t>(k)]) & 0xC0) != 0x80) return false;
    const auto second = static_cast<unsigned char>(text[i + 1]);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
        (lead == 0xF4 && second > 0x8F))
      return false;
    i += static_cast<size_t>(n);
  }
  return true;
}

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

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
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
