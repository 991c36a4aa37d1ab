// A value within a text, written as JSON or as a Python literal: 1.5, true, None, 'it', "a", [1, 'b'], {'k': (1, 2)}.
// A tuple is an array.
//
// Threads: pure functions. Never throws; bounds nesting.
// Source: Python's language reference, "Lexical analysis", for string escapes; RFC 8259.
#pragma once

#include <optional>
#include <string_view>

#include "schema/json.h"

namespace slm::model {

// The value that begins at `at` (white space before it is skipped); `at` moves behind it.
std::optional<json::value> read_literal(std::string_view text, size_t& at);
// The text's one value, with white space around it.
std::optional<json::value> whole_literal(std::string_view text);
// Where the JSON object or array that begins at `at` ends, by its brackets; npos if it doesn't.
size_t json_extent(std::string_view text, size_t at);
// The value as Python's repr writes it.
std::string python_text(const json::value& value);

}  // namespace slm::model
