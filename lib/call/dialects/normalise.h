// What all dialects share: messages, tools, answers and usage brought into canonical form, in place.
//
// Of a tool its type and its function or custom are kept. Kept of a message: role, content, name, tool_calls,
// tool_call_id, refusal, reasoning_content, reasoning, audio. Other keys and nulls go (null content stays).
// `function_call` becomes `tool_calls` with an id made from its position, role `function` becomes `tool`; a tool call
// written flat, {name, arguments}, is wrapped; arguments given as JSON become their text. A content part of type text
// given as a string list stays as it is. Errors: a reason token; "" is success. Source: OpenAI chat completions
// (openai-python src/openai/types/chat), functions and function_call as deprecated there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "call/call.h"

namespace slm::dialects {

// Requires nothing; sets `vision` when a part isn't text. Reasons: "bad_message".
std::string_view normalise_messages(json::array& messages, bool& vision);
// One message that an assistant wrote (an answer, a truth): role is set when missing. Reasons: "bad_message".
std::string_view normalise_answer(json::object& message, bool& vision);
// {type:function, function:{…}} each; bare {name, parameters} (also legacy `functions`) is wrapped. Reasons:
// "bad_tools".
std::string_view normalise_tools(json::array& tools);

// A finish reason under its OpenAI name ("function_call" and "tool_call" are "tool_calls", "max_tokens" is "length").
std::string_view normalise_finish(std::string_view finish);
Usage read_usage(const json::object& usage);

// Time in ms of the first of these keys that is there: RFC 3339 text, or a number of seconds or ms since the epoch.
// `out` stays as it is where none is there, or only null or "". Reasons: "bad_timestamp".
std::string_view read_time(const json::object& object, std::initializer_list<std::string_view> keys,
                           std::optional<int64_t>& out);
// A label or an id: text or a whole number as text, "" otherwise.
std::string read_label(const json::value* value);
// What is kept of a provider's error: type, code, param and status, where they are short. Its message may name keys and
// organisations; it goes.
json::object clean_error(const json::value& error);

// The first of these keys that has a label.
std::string first_label(const json::object& object, std::initializer_list<std::string_view> keys);

// `outcome: {success?, score?, truth?: {content?, tool_calls?}}` of a record. Reasons: "bad_outcome".
std::string_view read_outcome(json::value* value, Outcome& out);
// Puts an outcome where a call keeps it.
void set_outcome(Call& call, const Outcome& outcome);

}  // namespace slm::dialects
