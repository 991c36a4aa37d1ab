// LiteLLM standard logging payload: a record is one call (or holds it as `standard_logging_object`).
//
//   record                                          call
//   messages (a list, one message, or text)         messages; text is one user message
//   model_parameters {temperature, tools, …}        params, tools, streamed flag, as openai_chat reads a request's
//   response (a chat completion, or text)           choices, finish reason, usage, model
//   model, custom_llm_provider                      model where the response names none; provider
//   prompt_tokens, completion_tokens                usage where the response has none
//   startTime, endTime                              time, latency
//   completionStartTime                             time to first token, of a streamed call
//   trace_id                                        session
//   end_user | metadata.user_api_key_user_id | metadata.user_api_key_hash   source, pseudonym when stored
//   status failure, error_information {error_class, error_code}             error (type, code)
//   call_type of another kind than chat             left out, counted as "other_operation"
//   text redacted by LiteLLM                        left out, counted as "no_content"
//   everything else (cost, metadata, request_tags, addresses, error_str, hidden_params …)   not kept
//
// Source: BerriAI/litellm docs/my-website/docs/proxy/logging_spec.md (StandardLoggingPayload) and its redaction of
// messages ("redacted-by-litellm").
#include <algorithm>

#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"

namespace slm::dialects {

namespace {

constexpr std::string_view kRedacted = "redacted-by-litellm";
constexpr std::string_view kChatTypes[] = {"completion", "acompletion", "", "chat", "anthropic_messages"};

void move_to(json::object& from, std::string_view key, json::object& to, std::string_view name) {
  if (auto* v = from.if_contains(key); v != nullptr && !v->is_null()) to.insert_or_assign(name, std::move(*v));
}

bool is_redacted(const json::value& value) {
  if (value.is_string()) return value.get_string() == kRedacted;
  if (const auto* list = value.if_array()) return std::any_of(list->begin(), list->end(), is_redacted);
  const auto* object = value.if_object();
  if (object == nullptr) return false;
  for (const std::string_view key : {"content", "text", "message", "choices"})
    if (const auto* inner = object->if_contains(key); inner != nullptr && is_redacted(*inner)) return true;
  return false;
}

// A list of messages out of a list, one message or text.
void make_messages(json::value& value) {
  if (value.is_string()) value = json::object{{"role", "user"}, {"content", std::move(value)}};
  if (value.is_object()) {
    json::array list;
    list.push_back(std::move(value));
    value = std::move(list);
  }
}

json::value make_response(json::object& payload) {
  json::value* response = payload.if_contains("response");
  if (response == nullptr || response->is_null()) return nullptr;
  if (response->is_string()) {
    if (response->get_string().empty()) return nullptr;
    json::object message{{"role", "assistant"}, {"content", std::move(*response)}};
    *response = json::object{{"choices", json::array{json::object{{"message", std::move(message)}}}}};
  }
  if (response->is_object() && response->get_object().empty()) return nullptr;
  json::value out = std::move(*response);
  if (auto* object = out.if_object(); object != nullptr && get_object(*object, "usage") == nullptr) {
    json::object usage;
    for (const std::string_view key : {"prompt_tokens", "completion_tokens"})
      if (const auto n = get_int(payload, key)) usage[key] = *n;
    object->insert_or_assign("usage", std::move(usage));
  }
  return out;
}

json::value make_error(const json::object& payload) {
  if (get_string(payload, "status") != "failure") return nullptr;
  json::object error{{"type", "failure"}};
  if (const auto* information = get_object(payload, "error_information")) {
    if (const auto name = get_string(*information, "error_class"); !name.empty()) error["type"] = name;
    if (const auto code = read_label(information->if_contains("error_code")); !code.empty()) error["code"] = code;
  }
  return error;
}

}  // namespace

int sniff_litellm(const json::value& record) {
  const auto* object = record.if_object();
  if (object == nullptr) return 0;
  if (get_object(*object, "standard_logging_object") != nullptr) return 100;
  return object->contains("call_type") && object->contains("startTime") && object->contains("model_parameters") ? 100
                                                                                                                : 0;
}

std::string_view parse_litellm(json::value& record, CallSink& sink) {
  auto* payload = record.if_object();
  if (payload == nullptr) return "not_an_object";
  if (auto* inner = payload->if_contains("standard_logging_object"); inner != nullptr && inner->is_object())
    payload = &inner->get_object();
  const auto type = get_string(*payload, "call_type");
  if (std::find(std::begin(kChatTypes), std::end(kChatTypes), type) == std::end(kChatTypes)) {
    sink.skip("other_operation");
    return {};
  }
  for (const std::string_view key : {"messages", "response"})
    if (const auto* text = payload->if_contains(key); text != nullptr && is_redacted(*text)) {
      sink.skip("no_content");
      return {};
    }

  json::object request;
  if (auto* parameters = payload->if_contains("model_parameters"); parameters != nullptr && parameters->is_object())
    request = std::move(parameters->get_object());
  for (const std::string_view key : {"metadata", "messages", "model"}) request.erase(key);
  move_to(*payload, "messages", request, "messages");
  if (auto* messages = request.if_contains("messages")) make_messages(*messages);
  move_to(*payload, "model", request, "model");
  const bool streamed = get_bool(request, "stream").value_or(get_bool(*payload, "stream").value_or(false));
  request.insert_or_assign("stream", streamed);

  json::object envelope;
  const auto start = get_number(*payload, "startTime"), end = get_number(*payload, "endTime"),
             first = get_number(*payload, "completionStartTime");
  if (start && end && *end >= *start) envelope["latency_ms"] = (*end - *start) * 1000;
  if (streamed && start && first && *first >= *start) envelope["ttft_ms"] = (*first - *start) * 1000;
  move_to(*payload, "startTime", envelope, "timestamp");
  move_to(*payload, "trace_id", envelope, "trace_id");
  move_to(*payload, "custom_llm_provider", envelope, "provider");
  std::string source = first_label(*payload, {"end_user"});
  if (const auto* metadata = get_object(*payload, "metadata"); metadata != nullptr && source.empty())
    source = first_label(*metadata, {"user_api_key_user_id", "user_api_key_hash"});
  envelope["client_id"] = source;
  envelope["error"] = make_error(*payload);
  envelope["response"] = make_response(*payload);
  envelope["request"] = std::move(request);
  json::value rewritten(std::move(envelope));
  return parse_openai_chat(rewritten, sink);
}

}  // namespace slm::dialects
