// The compact text of a JSON value, keys in their order: byte for byte what json::serialize gives, and faster on long
// texts with a few escapes, as calls are.
#pragma once

#include <string>
#include <string_view>

#include "schema/json.h"

namespace slm {

void append_json(std::string& out, const json::value& value);
void append_json(std::string& out, const json::array& value);
void append_json(std::string& out, const json::object& value);
// With its quotes.
void append_json_text(std::string& out, std::string_view text);

}  // namespace slm
