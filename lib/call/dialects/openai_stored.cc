// OpenAI stored completions: what `GET /v1/chat/completions` and `GET /v1/chat/completions/ID/messages` give, as
// objects or as pages {object: list, data: […]}, in any order. A completion and its messages are joined over all
// records of the input.
//
//   record                                          call
//   object chat.completion, id                      one call
//   messages | input (a list, or a page)            messages
//   a message {id: "<completion's id>-<n>", role, content, content_parts, name, tool_calls}   that completion's message
//   n choices, model, usage, created, system_fingerprint, service_tier   as openai_chat reads a response temperature,
//   tools, tool_choice, response_format, seed, …          as openai_chat reads a request input_user | user source,
//   pseudonym when stored metadata {session_id | conversation_id | thread_id}                session a completion none
//   of whose messages is there    left out, counted as "no_messages" messages of a completion that isn't there left
//   out, counted as "no_completion" everything else (metadata, request_id)          not kept
// A last message that is the answer itself is left off the prompt.
//
// Memory: held.h's bound; beyond it the oldest completion goes as it is.
// Source: openai/openai-openapi (List Chat Completions, Get chat messages), openai-python
// types/chat/chat_completion_store_message.py.
#include <charconv>
#include <map>
#include <optional>

#include "call/dialects/dialect.h"
#include "call/dialects/held.h"
#include "call/dialects/normalise.h"
#include "call/dialects/unfold.h"

namespace slm::dialects {

namespace {

struct Stored {
  std::optional<json::object> completion;
  std::map<uint64_t, json::object> messages;  // by their number
};

// "chatcmpl-abc-12" as "chatcmpl-abc" and 12.
bool split_id(std::string_view id, std::string& completion, uint64_t& number) {
  const size_t dash = id.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return false;
  const std::string_view digits = id.substr(dash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return false;
  completion = id.substr(0, dash);
  return true;
}

const json::array* page_data(const json::value& value) {
  const auto* object = value.if_object();
  return object == nullptr ? value.if_array() : get_array(*object, "data");
}

bool is_completion(const json::object& object) {
  return get_string(object, "object") == "chat.completion" && !get_string(object, "id").empty();
}

bool is_stored_message(const json::object& object) {
  std::string completion;
  uint64_t number = 0;
  return object.contains("role") && get_string(object, "id").starts_with("chatcmpl") &&
         split_id(get_string(object, "id"), completion, number);
}

bool is_record(const json::object& object) { return is_completion(object) || is_stored_message(object); }

void take_parts(json::object& message) {
  const auto* held = message.if_contains("content_parts");
  if (held == nullptr || !held->is_array()) return;
  json::value parts = *held;
  message.insert_or_assign("content", std::move(parts));
}

class Joiner final : public RecordJoiner {
 public:
  std::string_view add(json::value& record, CallSink& sink) override {
    auto* object = record.if_object();
    if (object == nullptr) return "not_an_object";
    std::string_view reason;
    if (is_record(*object)) {
      reason = add_object(*object);
    } else {
      auto* data = object->if_contains("data");
      if (get_string(*object, "object") != "list" || data == nullptr || !data->is_array()) return "bad_completion";
      for (auto& item : data->get_array())
        if (!item.is_object() || !is_record(item.get_object())) return "bad_completion";
      for (auto& item : data->get_array())
        if (const auto why = add_object(item.get_object()); reason.empty()) reason = why;
    }
    while (held_.is_full() && !stopped_) emit_oldest(sink);
    return reason;
  }
  void finish(CallSink& sink) override {
    while (!held_.empty() && !stopped_) emit_oldest(sink);
  }

 private:
  std::string_view add_object(json::object& object) {
    const uint64_t n_bytes = 100 + text_bytes(json::value(object));
    if (is_completion(object)) {
      Stored& stored = held_.at(std::string(get_string(object, "id")), n_bytes);
      for (const std::string_view key : {"messages", "input"})
        if (const auto* value = object.if_contains(key); value != nullptr)
          if (const auto* list = page_data(*value)) {
            uint64_t number = 0;
            for (const auto& item : *list)
              if (item.is_object()) stored.messages.emplace(number++, item.get_object());
          }
      stored.completion = std::move(object);
      return {};
    }
    std::string completion;
    uint64_t number = 0;
    if (!split_id(get_string(object, "id"), completion, number)) return "bad_message";
    held_.at(completion, n_bytes).messages.insert_or_assign(number, std::move(object));
    return {};
  }

  void emit_oldest(CallSink& sink) {
    Stored stored = held_.take_oldest();
    if (!stored.completion || stored.messages.empty()) {
      sink.skip(stored.completion ? "no_messages" : "no_completion");
      return;
    }
    json::object response = std::move(*stored.completion);
    json::array messages;
    for (auto& [number, message] : stored.messages) {
      take_parts(message);
      message.erase("id");
      messages.push_back(std::move(message));
    }
    drop_answer(messages, response);
    json::object request = response;
    for (const std::string_view key : {"choices", "usage", "input", "messages"}) request.erase(key);
    if (const std::string user = read_label(request.if_contains("input_user")); !user.empty())
      request.insert_or_assign("user", user);
    request["messages"] = std::move(messages);
    json::value record(json::object{{"request", std::move(request)}, {"response", std::move(response)}});
    Watch watch(sink);
    if (const auto reason = parse_openai_chat(record, watch); !reason.empty()) sink.skip(reason);
    stopped_ = watch.stopped;
  }

  static void drop_answer(json::array& messages, const json::object& response) {
    const auto* choices = get_array(response, "choices");
    if (choices == nullptr || choices->empty() || !choices->front().is_object()) return;
    const auto* answer = get_object(choices->front().get_object(), "message");
    const json::object& last = messages.back().get_object();
    if (answer == nullptr || messages.size() < 2 || get_string(last, "role") != "assistant") return;
    if (content_text(*answer) == content_text(last)) messages.pop_back();
  }

  struct Watch final : CallSink {
    explicit Watch(CallSink& to) : sink(to) {}
    bool call(const LoggedCall& logged) override { return !(stopped = !sink.call(logged)); }
    void skip(std::string_view reason) override { sink.skip(reason); }
    CallSink& sink;
    bool stopped = false;
  };

  Held<Stored> held_;
  bool stopped_ = false;
};

}  // namespace

int sniff_openai_stored(const json::value& record) {
  const auto* object = record.if_object();
  if (object == nullptr) return 0;
  if (is_completion(*object)) return get_array(*object, "choices") != nullptr ? 95 : 0;
  if (is_stored_message(*object)) return 85;
  const auto* data = get_array(*object, "data");
  if (get_string(*object, "object") != "list" || data == nullptr || data->empty()) return 0;
  return data->front().is_object() && is_record(data->front().get_object()) ? 95 : 0;
}

std::string_view parse_openai_stored(json::value& record, CallSink& sink) {
  Joiner joiner;
  if (const auto reason = joiner.add(record, sink); !reason.empty()) return reason;
  joiner.finish(sink);
  return {};
}

std::unique_ptr<RecordJoiner> join_openai_stored() { return std::make_unique<Joiner>(); }

}  // namespace slm::dialects
