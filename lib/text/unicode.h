// UTF-8 as code points, with Python's idea of white space, case and printability, for tokenizers and templates.
//
// Units: positions and lengths are in bytes unless the name says code points.
// Source: The Unicode Standard 15, table 3-7 (well-formed UTF-8); Python's str methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/utf8.h"

namespace slm::text {

// The code point at text[pos] and how many bytes it takes. An ill-formed sequence gives U+FFFD and the length of its
// longest well-formed beginning (at least 1). Requires: pos < text.size().
struct CodePoint {
  char32_t value = 0;
  size_t n_bytes = 1;
  bool valid = true;
};
CodePoint code_point_at(std::string_view text, size_t pos);

// Ill-formed sequences become U+FFFD, as Python's bytes.decode("utf-8", "replace") does.
std::string repair_utf8(std::string_view text);
size_t count_code_points(std::string_view text);
std::vector<char32_t> to_code_points(std::string_view text);
std::string to_utf8(const std::vector<char32_t>& code_points);

bool is_space(char32_t code_point);      // str.isspace
bool is_printable(char32_t code_point);  // what repr() prints as it is
bool is_cased(char32_t code_point);

// Case by code point, except that U+00DF becomes "SS" in upper case.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
char32_t lower_of(char32_t code_point);
char32_t upper_of(char32_t code_point);

}  // namespace slm::text
