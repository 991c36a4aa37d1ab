// UTF-8: is a text well formed, and one code point written. Reading code points: text/unicode.h.
//
// Source: The Unicode Standard 15, table 3-7.
#pragma once

#include <string>
#include <string_view>

namespace slm {

bool is_ascii(std::string_view text);
// Well formed: no stray or missing bytes, no overlong forms, no surrogates.
bool is_utf8(std::string_view text);
// A value that is no code point becomes U+FFFD.
void append_utf8(std::string& out, char32_t code_point);

}  // namespace slm
