#include "call/dialects/unfold.h"

#include "call/dialects/recognise.h"
#include "core/hash.h"

namespace slm::dialects {

namespace {

bool is_assistant(const json::value& message) {
  return message.is_object() && get_string(message.get_object(), "role") == "assistant";
}

bool unfolds_too_far(const json::array& messages) {
  uint64_t prefix = 0, total = 0;
  for (const auto& message : messages) {
    prefix += text_bytes(message);
    if (is_assistant(message)) total += prefix;
    if (total > kMaxUnfoldedBytes) return true;
  }
  return false;
}

}  // namespace

uint64_t text_bytes(const json::value& value) {
  uint64_t n = 8;
  if (const auto* text = value.if_string()) {
    n += text->size();
  } else if (const auto* array = value.if_array()) {
    for (const auto& item : *array) n += text_bytes(item);
  } else if (const auto* object = value.if_object()) {
    for (const auto& item : *object) n += item.key().size() + text_bytes(item.value());
  }
  return n;
}

std::string_view unfold(const Conversation& conversation, CallSink& sink) {
  const json::array& messages = conversation.messages;
  size_t last_turn = messages.size();
  for (size_t i = 0; i < messages.size(); ++i)
    if (is_assistant(messages[i])) last_turn = i;
  if (last_turn == messages.size()) return "no_answer";
  if (unfolds_too_far(messages)) return "conversation_too_long";

  LoggedCall logged;
  logged.call = conversation.common;
  CallMeta& meta = logged.call.meta;
  CallBody& body = logged.call.body;
  const Flags common_flags = meta.flags;
  const bool is_dialogue = is_conversation(messages);
  int64_t seq = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (is_assistant(messages[i])) {
      meta.seq = seq++;
      if (i < conversation.left_out.size() && conversation.left_out[i]) {
        sink.skip("weight_0");
      } else {
        body.choices.clear();
        body.choices.push_back(json::object{{"message", messages[i]}});
        body.truth = i == last_turn ? conversation.truth : json::value();
        meta.has_truth = !body.truth.is_null();
        meta.flags = common_flags;
        logged.failure = failure_of(body);
        meta.flags.failed = !logged.failure.empty();
        const auto* answer = answer_of(body);
        meta.flags.hci = conversation.text_is_for_human
                             ? !answer->contains("tool_calls")
                             : is_human_facing({std::nullopt, meta.site, is_dialogue, &body.params, answer});
        if (!sink.call(logged)) return {};
      }
    }
    body.messages.push_back(messages[i]);
  }
  return {};
}

std::string conversation_digest(const json::array& messages) {
  return sha256_hex(json::serialize(messages)).substr(0, 32);
}

}  // namespace slm::dialects
