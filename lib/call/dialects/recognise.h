// Which calls failed, and which speak to a human.
//
// Failed (left out of training later, stored and counted now), judged by the first choice:
//   no_response  a request without an answer or an error
//   error        the provider answered with an error
//   refusal      `refusal` holds text, a part is a refusal, finish_reason is content_filter, or the whole answer is a
//                stock refusal ("I'm sorry, but I can't assist with that."); a refusal that goes on to explain isn't
//                told
//   length       finish_reason is length: the answer is cut
//   empty        neither text nor a tool call nor audio
//
// Human-facing, in this order:
//   1. the log says so (`human_facing` or `hci`, true or false)
//   2. an answer that calls a tool speaks to the tool                                             → no
//   3. the call site's label has the word chat, chatbot or smalltalk (not "chat completions")     → yes
//   4. a structured answer (JSON, code fence, mark-up, a headed line as in "Action: search"; response_format
//      json) or a label-like one (at most 4 words and 40 bytes, no sentence end) is read by a program → no
//   5. a conversation with two or more user turns that aren't headed ("Observation: …" is a program's)
//      and don't share a written frame (few-shot examples repeat one)                              → yes
//   6. otherwise                                                                                  → no
// A dialect that knows better (tau-bench: a turn without tool calls is said to the user) sets the flag itself. The
// first turn of a chat that is logged call by call can't be told from a task call; it counts as not human-facing.
#pragma once

#include <optional>
#include <string_view>

#include "call/call.h"

namespace slm::dialects {

// "" when the call succeeded.
std::string_view failure_of(const CallBody& body);

// A short answer (at most 300 bytes, no tool call) that begins like a refusal: wider than "refusal" above, since it may
// go on to explain. A desk's "I'm sorry, but I can't refund this order" is none.
bool opens_with_refusal(const json::object& answer);

// Two or more user turns without headings or a shared frame. `messages`: as much of the conversation as the log shows.
bool is_conversation(const json::array& messages);

struct Exchange {
  std::optional<bool> stated;  // by the log
  std::string_view site;
  bool conversation = false;  // is_conversation() of its messages
  const json::object* params = nullptr;
  const json::object* answer = nullptr;  // nullptr: none
};
bool is_human_facing(const Exchange& exchange);

}  // namespace slm::dialects
