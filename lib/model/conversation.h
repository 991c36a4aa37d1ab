// Logged messages and tools → what a model's chat template takes. Templates differ in what they know: some refuse a
// system message, some ignore tools, tool calls or tool results, some want a call's arguments as an object and some as
// text. `probe` finds that out by rendering small conversations; `adapt` writes what the template doesn't know in plain
// text, so that nothing of a call is lost on the model.
//
// Errors: kUnsupportedModel if not even one user message renders.
// Threads: pure functions.
#pragma once

#include <string>

#include "schema/json.h"
#include "text/chat_template.h"

namespace slm::model {

// How the template writes an assistant's tool calls.
enum class CallStyle {
  kTags,  // <tool_call>{"name": …, "arguments": {…}}</tool_call>; adapt() writes this where the template writes none
  kBare,   // the whole answer is {"name": …, "parameters": {…}}
  kOther,  // some other way, which can't be read back
};

struct Abilities {
  bool system = true;   // shows a system message; else it goes in front of the first user message
  bool tools = true;    // shows tool definitions; else they go into the system message
  bool calls = true;    // shows tool calls; else they become content
  bool results = true;  // shows messages of role tool; else they become user messages
  bool arguments_as_text = false;
  CallStyle call_style = CallStyle::kTags;
};

// `base`: variables such as bos_token.
Result<Abilities> probe(const text::ChatTemplate& chat_template, const text::RenderOptions& base);

struct Adapted {
  json::array messages, tools;
};
// Content parts become one text; null contents become ""; fields without a value go. Role developer is system.
Adapted adapt(const json::array& messages, const json::array& tools, const Abilities& abilities);

// Generated text → assistant message. Well-formed calls become tool_calls (ids call_0, call_1, …) whose arguments are
// JSON text; all else, malformed calls included, is content.
json::object parse_answer(std::string_view text, CallStyle style);

}  // namespace slm::model
