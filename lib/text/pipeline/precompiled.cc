#include "text/pipeline/precompiled.h"

#include <fmt/format.h>

#include <cstring>

#include "text/pipeline/char_class.h"
#include "text/unicode.h"

namespace slm::text::pipeline {
namespace {

constexpr size_t kMaxReplacementBytes = 1 << 10;  // NFKC's longest has 33
constexpr size_t kMaxGraphemeBytes = 5;           // longer clusters go character by character

std::optional<std::string> from_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xffffff;
    n_bits += 6;
    if (n_bits >= 8) {
      n_bits -= 8;
      out += static_cast<char>(bits >> n_bits & 0xff);
    }
  }
  return out;
}

uint32_t little_endian(const char* at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(at[i])} << (8 * i);
  return value;
}

// The fields of a unit of the double array.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7fffffff; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000ff; }
uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }

}  // namespace

Result<Precompiled> Precompiled::read(std::string_view base64) {
  const auto bytes = from_base64(base64);
  if (!bytes || bytes->size() < 4)
    return fail(ErrorCode::kBadInput, "tokenizer.json: precompiled_charsmap is not base64 of a character map");
  const size_t n = little_endian(bytes->data());
  if (n % 4 != 0 || n == 0 || n > bytes->size() - 4)
    return fail(ErrorCode::kBadInput,
                fmt::format("tokenizer.json: precompiled_charsmap of {} bytes says its trie has {}", bytes->size(), n));
  Precompiled map;
  for (size_t i = 0; i < n; i += 4) map.units_.push_back(little_endian(bytes->data() + 4 + i));
  map.replacements_ = bytes->substr(4 + n);
  return map;
}

std::optional<std::string_view> Precompiled::transform(std::string_view chunk) const {
  size_t at = offset_of(units_[0]);
  for (const char c : chunk) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte == 0) return std::nullopt;
    at ^= byte;
    if (at >= units_.size() || label_of(units_[at]) != byte) return std::nullopt;
    const uint32_t unit = units_[at];
    at ^= offset_of(unit);
    if (at >= units_.size()) return std::nullopt;
    if (!has_leaf(unit)) continue;
    const size_t begin = value_of(units_[at]);
    if (begin >= replacements_.size()) return std::nullopt;
    const std::string_view rest = std::string_view(replacements_).substr(begin);
    const std::string_view made = rest.substr(0, rest.find('\0'));
    if (made.size() > kMaxReplacementBytes) return std::nullopt;
    return made;
  }
  return std::nullopt;
}

std::string Precompiled::apply(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  size_t begin = 0;
  for (const size_t end : grapheme_ends(text)) {
    const std::string_view cluster = text.substr(begin, end - begin);
    begin = end;
    if (cluster.size() <= kMaxGraphemeBytes) {
      if (const auto made = transform(cluster)) {
        out += *made;
        continue;
      }
    }
    for (size_t i = 0; i < cluster.size();) {
      const std::string_view character = cluster.substr(i, code_point_at(cluster, i).n_bytes);
      i += character.size();
      out += transform(character).value_or(character);
    }
  }
  return repair_utf8(out);  // a damaged map may cut characters
}

}  // namespace slm::text::pipeline
