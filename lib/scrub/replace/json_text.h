// The keys and scalars of a JSON text, where they stand, so that a value can be replaced and everything else stays byte
// for byte: order of keys, spaces, spelling of numbers.
//
// Units: byte offsets.
// Threads: pure.
// Source: RFC 8259.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slm::scrub {

struct JsonScalar {
  size_t begin = 0, end = 0;  // of the token; a string's with its quotes
  bool is_string = false;     // else a number
  bool is_key = false;        // a string too; without label
  // What its key says, as words ("customer name"), with the object's own key where the key alone says little. Empty for
  // a key that names things and people alike ("name") where nothing around it speaks of a person.
  std::string label;
};

// All keys, strings and numbers of the text, in order; nothing if the text isn't one JSON object or array.
std::optional<std::vector<JsonScalar>> json_scalars(std::string_view text);
// Quick look: might the text be a JSON object or array?
bool looks_like_json(std::string_view text);

// Value of a string token (with quotes). Requires: valid token.
std::string json_unescape(std::string_view token);
// A string token, with quotes; only what must be escaped is.
std::string json_escape(std::string_view value);

// "customerName", "customer_name" → "customer name"
std::string key_words(std::string_view key);

}  // namespace slm::scrub
