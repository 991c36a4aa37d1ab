#include "text/unicode.h"

#include <locale.h>
#include <wctype.h>

namespace slm::text {
namespace {

// glibc's tables behind the locale that every glibc system has built in; the program's own locale stays "C".
locale_t unicode_locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

}  // namespace

CodePoint code_point_at(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const uint8_t first = byte(pos);
  if (first < 0x80) return {first, 1, true};
  size_t n = 0;
  uint8_t low = 0x80, high = 0xbf;  // bounds of the second byte
  char32_t value = 0;
  if (first >= 0xc2 && first <= 0xdf) {
    n = 2, value = first & 0x1fu;
  } else if (first >= 0xe0 && first <= 0xef) {
    n = 3, value = first & 0x0fu;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    n = 4, value = first & 0x07u;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return {0xfffd, 1, false};
  }
  for (size_t i = 1; i < n; ++i) {
    const uint8_t b = byte(pos + i);
    if (pos + i >= text.size() || b < low || b > high) return {0xfffd, i, false};
    value = value << 6 | (b & 0x3fu);
    low = 0x80, high = 0xbf;
  }
  return {value, n, true};
}

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    append_utf8(out, c.value);
    i += c.n_bytes;
  }
  return out;
}

size_t count_code_points(std::string_view text) {
  size_t n = 0;
  for (size_t i = 0; i < text.size(); i += code_point_at(text, i).n_bytes) ++n;
  return n;
}

std::vector<char32_t> to_code_points(std::string_view text) {
  std::vector<char32_t> out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    out.push_back(c.value);
    i += c.n_bytes;
  }
  return out;
}

std::string to_utf8(const std::vector<char32_t>& code_points) {
  std::string out;
  for (const auto c : code_points) append_utf8(out, c);
  return out;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  if (c < 0x7f) return c > ' ';
  if (c == 0xad || is_space(c) || (c >= 0xd800 && c <= 0xf8ff) || c >= 0xe0000) return false;
  // Format characters (general category Cf) that glibc calls printable.
  if ((c >= 0x0600 && c <= 0x0605) || c == 0x061c || c == 0x06dd || c == 0x070f || c == 0x08e2 || c == 0x180e ||
      (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
      (c >= 0xfff9 && c <= 0xfffb))
    return false;
  return iswprint_l(static_cast<wint_t>(c), unicode_locale()) != 0;
}

bool is_cased(char32_t c) { return lower_of(c) != c || upper_of(c) != c || c == 0xdf; }

char32_t lower_of(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  return static_cast<char32_t>(towlower_l(static_cast<wint_t>(c), unicode_locale()));
}

char32_t upper_of(char32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 32 : c;
  return static_cast<char32_t>(towupper_l(static_cast<wint_t>(c), unicode_locale()));
}

std::string to_upper(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    if (c.value == 0xdf) {
      out += "SS";
    } else {
      append_utf8(out, upper_of(c.value));
    }
    i += c.n_bytes;
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto c = code_point_at(text, i);
    append_utf8(out, lower_of(c.value));
    i += c.n_bytes;
  }
  return out;
}

}  // namespace slm::text
