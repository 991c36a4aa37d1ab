#include "schema/json_text.h"

#include <array>
#include <cstdint>
#include <cstring>

namespace slm {

namespace {

// What stands behind the backslash for each byte that needs one: its letter, or u. 0: it stands for itself.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> out{};
  for (size_t c = 0; c < 0x20; ++c) out[c] = 'u';
  constexpr std::string_view kFrom = "\"\\\b\f\n\r\t", kTo = "\"\\bfnrt";
  for (size_t i = 0; i < kFrom.size(); ++i) out[static_cast<unsigned char>(kFrom[i])] = kTo[i];
  return out;
}();

// Whether a byte of eight needs an escape, by the well-known test for a zero byte.
bool any_needs_escape(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  const auto has = [&](uint64_t byte) {
    const uint64_t x = word ^ (kOnes * byte);
    return (x - kOnes) & ~x;
  };
  const uint64_t control = (word - kOnes * 0x20) & ~word;
  return ((control | has('"') | has('\\')) & kHigh) != 0;
}

char* write_escaped(char* to, char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  const char letter = kEscapes[byte];
  if (letter == 0) {
    *to++ = c;
    return to;
  }
  *to++ = '\\';
  *to++ = letter;
  if (letter != 'u') return to;
  for (const char digit : {'0', '0', kDigits[byte >> 4], kDigits[byte & 15]}) *to++ = digit;
  return to;
}

}  // namespace

void append_json_text(std::string& out, std::string_view text) {
  constexpr size_t kPiece = 512, kLongest = 6;  // bytes at once, and what one of them may become
  std::array<char, kPiece * kLongest> buffer;
  out += '"';
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, kPiece);
    text.remove_prefix(piece.size());
    char* to = buffer.data();
    size_t at = 0;
    for (uint64_t word = 0; at + sizeof word <= piece.size(); at += sizeof word) {
      std::memcpy(&word, piece.data() + at, sizeof word);
      if (!any_needs_escape(word)) {
        std::memcpy(to, &word, sizeof word);
        to += sizeof word;
      } else {
        for (size_t i = 0; i < sizeof word; ++i) to = write_escaped(to, piece[at + i]);
      }
    }
    for (; at < piece.size(); ++at) to = write_escaped(to, piece[at]);
    out.append(buffer.data(), static_cast<size_t>(to - buffer.data()));
  }
  out += '"';
}

void append_json(std::string& out, const json::object& value) {
  out += '{';
  bool first = true;
  for (const auto& item : value) {
    if (!first) out += ',';
    first = false;
    append_json_text(out, item.key());
    out += ':';
    append_json(out, item.value());
  }
  out += '}';
}

void append_json(std::string& out, const json::array& value) {
  out += '[';
  bool first = true;
  for (const auto& item : value) {
    if (!first) out += ',';
    first = false;
    append_json(out, item);
  }
  out += ']';
}

void append_json(std::string& out, const json::value& value) {
  if (const auto* object = value.if_object())
    append_json(out, *object);
  else if (const auto* array = value.if_array())
    append_json(out, *array);
  else if (const auto* text = value.if_string())
    append_json_text(out, *text);
  else
    out += json::serialize(value);
}

}  // namespace slm
