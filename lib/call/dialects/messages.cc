// Conversations as lists of messages: a record is one conversation, every assistant turn of it a call.
//
//   record                                         calls
//   messages[] (or the record is the list itself)  prompt and answer of each assistant turn
//   messages[].weight 0                            that turn is left out, counted as "weight_0"
//   tools | functions                              tools
//   parallel_tool_calls, tool_choice, response_format, temperature, max_tokens   params
//   session_id | conversation_id | thread_id | id  session (else a digest of the messages)
//   case_id                                        group
//   workload_id | site | call_site                 site
//   client_id | user_id                            source, pseudonym when stored
//   model, provider, timestamp | time | created_at the same, for every turn; a time that is there and is none makes the
//                                                  record unreadable ("bad_timestamp")
//   outcome {success, score, truth}                success, score; truth is the last turn's
//   everything else                                not kept
//
// Source: OpenAI fine-tuning chat format (messages, tools, parallel_tool_calls, functions, weight 0 | 1).
#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"
#include "call/dialects/unfold.h"

namespace slm::dialects {

namespace {

constexpr std::string_view kParams[] = {"parallel_tool_calls", "tool_choice", "response_format", "temperature",
                                        "max_tokens"};

bool is_message(const json::value& value) {
  return value.is_object() && value.get_object().contains("role") &&
         (value.get_object().contains("content") || value.get_object().contains("tool_calls") ||
          value.get_object().contains("function_call"));
}

bool is_message_list(const json::value* value) {
  const auto* list = value == nullptr ? nullptr : value->if_array();
  return list != nullptr && !list->empty() && is_message(list->front());
}

std::vector<bool> read_weights(const json::array& messages) {
  std::vector<bool> left_out(messages.size());
  for (size_t i = 0; i < messages.size(); ++i)
    left_out[i] = messages[i].is_object() && get_number(messages[i].get_object(), "weight") == 0.0;
  return left_out;
}

std::string_view read_messages(json::array& list, Conversation& out) {
  out.left_out = read_weights(list);
  out.messages = std::move(list);
  return normalise_messages(out.messages, out.common.meta.flags.vision);
}

std::string_view read_record(json::object& record, Conversation& out) {
  CallMeta& meta = out.common.meta;
  for (const std::string_view key : {"tools", "functions"})
    if (auto* v = record.if_contains(key); v != nullptr && !v->is_null() && out.common.body.tools.empty()) {
      if (!v->is_array()) return "bad_tools";
      out.common.body.tools = std::move(v->get_array());
    }
  if (const auto reason = normalise_tools(out.common.body.tools); !reason.empty()) return reason;
  for (const auto key : kParams)
    if (auto* v = record.if_contains(key); v != nullptr && !v->is_null())
      out.common.body.params.emplace(key, std::move(*v));
  meta.session = first_label(record, {"session_id", "conversation_id", "thread_id", "id"});
  meta.group = first_label(record, {"case_id"});
  meta.site = first_label(record, {"workload_id", "site", "call_site"});
  meta.source = first_label(record, {"client_id", "user_id"});
  meta.model = get_string(record, "model");
  meta.provider = get_string(record, "provider");
  if (const auto reason = read_time(record, {"timestamp", "time", "created_at"}, meta.time_ms); !reason.empty())
    return reason;
  Outcome outcome;
  if (const auto reason = read_outcome(record.if_contains("outcome"), outcome); !reason.empty()) return reason;
  out.truth = std::move(outcome.truth);
  outcome.truth = nullptr;
  set_outcome(out.common, outcome);
  return {};
}

}  // namespace

int sniff_messages(const json::value& record) {
  if (is_message_list(&record)) return 60;
  const auto* object = record.if_object();
  return object != nullptr && is_message_list(object->if_contains("messages")) ? 70 : 0;
}

std::string_view parse_messages(json::value& record, CallSink& sink) {
  Conversation conversation;
  json::array* list = record.if_array();
  if (auto* object = record.if_object()) {
    auto* messages = object->if_contains("messages");
    list = messages == nullptr ? nullptr : messages->if_array();
    if (list == nullptr) return "no_messages";
    if (const auto reason = read_record(*object, conversation); !reason.empty()) return reason;
  }
  if (list == nullptr || list->empty()) return "no_messages";
  if (const auto reason = read_messages(*list, conversation); !reason.empty()) return reason;
  auto& session = conversation.common.meta.session;
  if (session.empty()) session = conversation_digest(conversation.messages);
  return unfold(conversation, sink);
}

}  // namespace slm::dialects
