// What Unicode says of a character, as the tokenizers library asks it, and the normalisation forms.
//
// Source: utf8proc (Unicode 15.0 in 2.8); Rust's char::is_whitespace and is_numeric, its regex crate's \w (UTS 18).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace slm::text::pipeline {

bool is_white_space(char32_t c);        // property White_Space
bool is_numeric(char32_t c);            // Nd, Nl, No
bool is_word(char32_t c);               // Alphabetic, M, Nd, Pc, Join_Control
bool is_punctuation(char32_t c);        // P, and ASCII's symbols
bool is_mark(char32_t c);               // M
bool is_nonspacing_mark(char32_t c);    // Mn
bool is_control_or_format(char32_t c);  // Cc, Cf, Co
bool is_chinese(char32_t c);            // the blocks that BERT sets apart
// Appends the lower case, which for U+0130 is two characters.
void append_lower(std::string& out, char32_t c);

enum class Form { kNfc, kNfd, kNfkc, kNfkd };
// Requires well-formed UTF-8.
std::string to_form(std::string_view text, Form form);
// Where each extended grapheme cluster ends, ascending; the last is text.size(). Requires well-formed UTF-8.
std::vector<size_t> grapheme_ends(std::string_view text);

}  // namespace slm::text::pipeline
