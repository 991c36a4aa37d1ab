// Small questions about ASCII text, whatever the locale.
//
// Threads: pure.
#pragma once

namespace slm {

// White space as JSON has it.
constexpr bool is_json_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace slm
