// ShareGPT conversations: a record is one conversation, every turn of the model a call.
//
//   record                                         calls
//   conversations[] {from, value}                  prompt and answer of each turn of the model (unfold.h)
//     from system                                  role system
//     from human | user                            role user
//     from gpt | assistant | chatgpt | model | bot role assistant
//     from function_call | tool_call               role assistant; value {name, arguments}, or a list of them, as JSON
//                                                  becomes tool_calls
//     from observation | tool | function_response  role tool, answering the calls before it in their order
//   chosen {from, value}                           the last turn (preference data); rejected isn't kept
//   system                                         the first message, role system
//   tools (a list, or its JSON text)               tools
//   kto_tag                                        success of the session
//   id | conversation_id                           session (else a digest of the messages)
//   model                                          model
//   everything else (rejected, images, …)          not kept
//
// Source: hiyouga/LLaMA-Factory data/README.md (sharegpt format, preference and KTO data sets).
#include <fmt/format.h>

#include <deque>

#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"
#include "call/dialects/unfold.h"

namespace slm::dialects {

namespace {

enum class Speaker { kNone, kSystem, kUser, kModel, kModelCalls, kTool };

Speaker speaker_of(std::string_view from) {
  struct Row {
    std::string_view name;
    Speaker speaker;
  };
  static constexpr Row kRows[] = {
      {"system", Speaker::kSystem},
      {"human", Speaker::kUser},
      {"user", Speaker::kUser},
      {"gpt", Speaker::kModel},
      {"assistant", Speaker::kModel},
      {"chatgpt", Speaker::kModel},
      {"model", Speaker::kModel},
      {"bot", Speaker::kModel},
      {"function_call", Speaker::kModelCalls},
      {"tool_call", Speaker::kModelCalls},
      {"observation", Speaker::kTool},
      {"tool", Speaker::kTool},
      {"function_response", Speaker::kTool},
  };
  for (const Row& row : kRows)
    if (row.name == from) return row.speaker;
  return Speaker::kNone;
}

// Turns one after another into messages.
class Reader {
 public:
  explicit Reader(json::array& out) : out_(out) {}

  bool add(json::value& turn) {
    auto* object = turn.if_object();
    if (object == nullptr) return false;
    auto* value = object->if_contains("value");
    if (value == nullptr || !value->is_string()) return false;
    switch (speaker_of(get_string(*object, "from"))) {
      case Speaker::kSystem:
        return say("system", *value);
      case Speaker::kUser:
        return say("user", *value);
      case Speaker::kModel:
        return say("assistant", *value);
      case Speaker::kModelCalls:
        return calls(value->get_string());
      case Speaker::kTool:
        return answer(*value);
      case Speaker::kNone:
        break;
    }
    return false;
  }
  bool say(std::string_view role, json::value& text) {
    out_.push_back(json::object{{"role", role}, {"content", std::move(text)}});
    return true;
  }

 private:
  bool calls(std::string_view text) {
    auto parsed = parse_json(text);
    if (!parsed) return false;
    json::array list;
    if (parsed->is_array())
      list = std::move(parsed->get_array());
    else
      list.push_back(std::move(*parsed));
    if (list.empty()) return false;
    open_.clear();
    for (size_t i = 0; i < list.size(); ++i) {
      auto* call = list[i].if_object();
      if (call == nullptr) return false;
      open_.push_back(fmt::format("call_{}_{}", out_.size(), i));
      call->insert_or_assign("id", open_.back());
    }
    out_.push_back(json::object{{"role", "assistant"}, {"content", nullptr}, {"tool_calls", std::move(list)}});
    return true;
  }
  bool answer(json::value& text) {
    say("tool", text);
    if (open_.empty()) return true;
    out_.back().get_object().emplace("tool_call_id", open_.front());
    open_.pop_front();
    return true;
  }

  json::array& out_;
  std::deque<std::string> open_;  // calls that no answer was seen of
};

std::string_view read_tools(json::object& record, json::array& tools) {
  auto* value = record.if_contains("tools");
  if (value == nullptr || value->is_null()) return {};
  if (value->is_string()) {
    if (value->get_string().empty()) return {};
    auto parsed = parse_json(value->get_string());
    if (!parsed) return "bad_tools";
    *value = std::move(*parsed);
  }
  if (!value->is_array()) return "bad_tools";
  tools = std::move(value->get_array());
  return normalise_tools(tools);
}

}  // namespace

int sniff_sharegpt(const json::value& record) {
  const auto* object = record.if_object();
  const auto* turns = object == nullptr ? nullptr : get_array(*object, "conversations");
  if (turns == nullptr || turns->empty() || !turns->front().is_object()) return 0;
  const auto& first = turns->front().get_object();
  return first.contains("from") && first.contains("value") ? 95 : 0;
}

std::string_view parse_sharegpt(json::value& record, CallSink& sink) {
  auto* object = record.if_object();
  auto* turns = object == nullptr ? nullptr : object->if_contains("conversations");
  if (turns == nullptr || !turns->is_array() || turns->get_array().empty()) return "no_messages";
  Conversation conversation;
  Reader reader(conversation.messages);
  if (auto* system = object->if_contains("system");
      system != nullptr && system->is_string() && !system->get_string().empty())
    reader.say("system", *system);
  for (auto& turn : turns->get_array())
    if (!reader.add(turn)) return "bad_message";
  if (auto* chosen = object->if_contains("chosen"); chosen != nullptr && chosen->is_object())
    if (!reader.add(*chosen)) return "bad_message";
  CallMeta& meta = conversation.common.meta;
  if (const auto reason = normalise_messages(conversation.messages, meta.flags.vision); !reason.empty()) return reason;
  if (const auto reason = read_tools(*object, conversation.common.body.tools); !reason.empty()) return reason;
  meta.model = get_string(*object, "model");
  meta.session = first_label(*object, {"id", "conversation_id"});
  if (meta.session.empty()) meta.session = conversation_digest(conversation.messages);
  Outcome outcome;
  outcome.success = get_bool(*object, "kto_tag");
  set_outcome(conversation.common, outcome);
  return unfold(conversation, sink);
}

}  // namespace slm::dialects
