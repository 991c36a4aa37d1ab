// Generated text → an assistant message, by the format that the model's template writes calls in.
//
// Read tolerantly: white space anywhere between the parts, JSON keys in any order, text before, between and after
// calls. A family whose answer is nothing but its calls (no mark opens them) has calls only where the whole text is
// calls. What can't be read stays text. Values that a family writes without quotes become what the tool's schema says,
// without one a number, true, null, an object or a list where they look like one. Threads: pure functions. Never
// throws.
#pragma once

#include <string_view>

#include "model/call_format.h"
#include "schema/json.h"

namespace slm::model {

struct ParsedAnswer {
  json::object message;    // role assistant, content, tool_calls; arguments are JSON text as in OpenAI chat
  bool malformed = false;  // something that begins like a call can't be read, and is content
};
// `tools`: OpenAI definitions; may be empty.
ParsedAnswer parse_answer(std::string_view text, const CallFormat& format, const json::array& tools = {});

// The same tools called with equal arguments in the same order.
bool same_calls(const json::object& a, const json::object& b);

}  // namespace slm::model
