// Logged messages and tools → what a model's chat template takes. Templates differ in what they know: some refuse a
// system message, some ignore tools, tool calls or tool results, some want a call's arguments as an object and some as
// text. `probe` finds that out by rendering small conversations; `adapt` writes what the template doesn't know in plain
// text, so that nothing of a call is lost on the model.
//
// Errors: kUnsupportedModel if not even one user message renders.
// Threads: pure functions.
#pragma once

#include <string>

#include "model/call_format.h"
#include "schema/json.h"
#include "text/chat_template.h"

namespace slm::model {

struct Abilities {
  bool system = true;   // shows a system message; else it goes in front of the first user message
  bool tools = true;    // shows tool definitions; else they go into the system message
  bool calls = true;    // shows tool calls in a way that is read back; else they become content, as plain_calls()
  bool results = true;  // shows messages of role tool; else they become user messages
  bool arguments_as_text = false;
  bool null_content = false;  // shows calls only where a message's content is null
  bool short_ids = false;     // takes ids of nine letters and digits only
  CallFormat format = plain_calls();
  std::string call_problem;  // why the calls that it does show can't be read back
};

// `base`: variables such as bos_token.
Result<Abilities> probe(const text::ChatTemplate& chat_template, const text::RenderOptions& base);

struct Adapted {
  json::array messages, tools;
};
// Content parts become one text; null contents become ""; fields without a value go. Role developer is system.
Adapted adapt(const json::array& messages, const json::array& tools, const Abilities& abilities);

// What a conversation's rendering adds to that of its prompt: from where they part on, which is the end of a mark or a
// line where the template writes a prompt otherwise than it goes on.
std::string_view behind_prompt(std::string_view whole, std::string_view prompt);

// Refuses messages of which the template would drop something without a word.
// Errors: kBadInput.
Status check_calls(const json::array& messages, const Abilities& abilities);

}  // namespace slm::model
