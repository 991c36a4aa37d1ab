// A conversation unfolded into its calls: every assistant turn is one, its prompt the messages before it.
#pragma once

#include <string_view>
#include <vector>

#include "call/dialects/dialect.h"

namespace slm::dialects {

struct Conversation {
  json::array messages;        // normalised (normalise.h)
  Call common;                 // what all its calls share: tools, params, session, group, source, model, outcome, …
  std::vector<bool> left_out;  // by message: turns the format excludes ("weight_0"); may be shorter than messages
  bool text_is_for_human = false;  // the dialect knows that a turn without tool calls speaks to a human
  json::value truth;               // of the last assistant turn, or null
};

// Reasons: "no_answer" (no assistant turn), "conversation_too_long" (kMaxUnfoldedBytes).
std::string_view unfold(const Conversation& conversation, CallSink& sink);

// Bytes of text in a value, near enough for a bound.
uint64_t text_bytes(const json::value& value);

// A name for a conversation that has none: a digest of its messages.
std::string conversation_digest(const json::array& messages);

}  // namespace slm::dialects
