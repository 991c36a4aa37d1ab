// Prompts and answers as tracing tools write them down, whatever shape: brought into canonical messages.
//
//   a message                                      canonical
//   role human | ai | model | …                    user | assistant
//   parts[] or content[], of type                  (GenAI conventions and providers' own blocks)
//     text | input_text | output_text              text; a message of one text part has it as its content
//     tool_call {id, name, arguments}, tool_use {id, name, input}               tool_calls
//     tool_call_response {id, response | result}, tool_result {tool_use_id, content}   a message of role tool
//     reasoning, thinking                          reasoning_content
//     anything else (image, blob, file, …)         a content part as it is
//   content as text, tool_calls, tool_call_id      the same
//
// A value may be JSON text, a list of messages, one message, {messages: […]}, {choices: […]}, {text}, or plain text;
// any other JSON is a text.
// Errors: what begins as JSON and isn't JSON is cut.
// Threads: pure.
// Source: OpenTelemetry GenAI conventions (input and output message schemas), OpenInference semantic conventions,
// Anthropic messages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/json.h"

namespace slm::dialects {

enum class Traced { kRead, kNothing, kCut };

// Appends the messages of a request; `tools` takes those that lie beside the messages. Text alone gets `role`.
struct TracedRequest {
  json::array messages, tools;
};
Traced read_traced_request(json::value value, std::string_view role, TracedRequest& out);

// Appends the answers; each is {"message": {…}, "finish_reason"?: "…"}, the reasons under their OpenAI names.
Traced read_traced_answers(json::value value, json::array& out);
// The finish reason that an answer's own record names, "" if none.
std::string traced_finish(const json::value& value);

// "prefix.0.a.b": x, "prefix.1.…" of flat attributes as [{a: {b: x}}, …]; null where there is none.
json::value nested(const json::object& attributes, std::string_view prefix);

// A number without a fraction as an integer: attributes have 0.0 where a request had 0.
json::value whole(json::value value);

}  // namespace slm::dialects
