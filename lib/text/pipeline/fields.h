// Reading the parts of tokenizer.json: typed fields, and a refusal of every field that isn't known.
//
// Errors: kBadInput for a field that is missing or of another kind; kUnsupportedModel for one that isn't known.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "schema/json.h"

namespace slm::text::pipeline {

// One object of the file, and how messages call it: "normalizer NFC".
struct Part {
  const json::object* object = nullptr;
  std::string where;
  std::string type;
};

// Requires `value` to be an object with a string "type".
Result<Part> read_part(const json::value& value, std::string_view kind);

Status only_fields(const Part& part, std::initializer_list<std::string_view> known);
// A type that this build doesn't do; `known` lists those it does.
tl::unexpected<Error> unknown_type(const Part& part, std::string_view known);

Result<std::string> text_field(const Part& part, std::string_view key);
// null and absent give `otherwise`; without it they are refused.
Result<std::string> text_field_or(const Part& part, std::string_view key, std::string otherwise);
Result<bool> bool_field(const Part& part, std::string_view key, std::optional<bool> otherwise = std::nullopt);
// A string of exactly one character.
Result<char32_t> char_field(const Part& part, std::string_view key);
Result<const json::array*> array_field(const Part& part, std::string_view key);

}  // namespace slm::text::pipeline
