// JSON through Boost.JSON: parsing with bounds, typed access, canonical text, validation against a JSON Schema.
//
// Errors: kBadInput; messages name the key or the byte offset, never the text.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace slm {

namespace json = boost::json;

// Parses one document. max_depth bounds nesting. Refuses invalid UTF-8 and duplicate-free is not checked.
Result<json::value> parse_json(std::string_view text, unsigned max_depth = 128);
Result<json::value> read_json_file(const std::filesystem::path& path);

// Text with object keys sorted and no spaces: the same value always gives the same bytes. Doubles as Boost.JSON prints.
std::string canonical_json(const json::value& value);
std::string canonical_json(const json::array& value);
std::string canonical_json(const json::object& value);
// Two-space indentation, keys in the order given; for files people read.
std::string pretty_json(const json::value& value);

// Typed access; the optional forms give nothing when the key is absent, null or of another type.
const json::value* find(const json::value& object, std::string_view key);
const json::value* find(const json::object& object, std::string_view key);
std::string_view get_string(const json::object& object, std::string_view key, std::string_view otherwise = "");
std::optional<double> get_number(const json::object& object, std::string_view key);
std::optional<int64_t> get_int(const json::object& object, std::string_view key);
std::optional<bool> get_bool(const json::object& object, std::string_view key);
const json::object* get_object(const json::object& object, std::string_view key);
const json::array* get_array(const json::object& object, std::string_view key);

// Requires a value of that kind; `what` names the document in the message.
Result<const json::object*> want_object(const json::value& value, std::string_view what);
Result<std::string> want_string(const json::object& object, std::string_view key, std::string_view what);
Result<double> want_number(const json::object& object, std::string_view key, std::string_view what);
Result<int64_t> want_int(const json::object& object, std::string_view key, std::string_view what);

// Validates against an embedded schema (see schema/embedded.h), e.g. "schemas/catalogue.schema.json".
// Errors: kBadInput with the path of the first violation; kUnexpected if there is no such schema.
Status validate_json(const json::value& value, std::string_view schema_name);

}  // namespace slm
