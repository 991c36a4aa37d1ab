// OpenAI chat completions: a record is one request with its response.
//
//   record                                   call
//   timestamp | time | created_at            time (else response.created); one that is there and is no time makes the
//                                            record unreadable ("bad_timestamp")
//   workload_id | site | call_site           site
//   session_id | conversation_id | thread_id | trace_id   session (else request.metadata's)
//   case_id                                  group (sessions that are trials of one case)
//   seq                                      seq (else the number of assistant turns in the prompt)
//   client_id, request.safety_identifier, request.user    source: the first that is there, pseudonym when stored
//   latency_ms, ttft_ms, provider            the same
//   human_facing | hci                       hci flag (else recognise.h)
//   outcome {success, score, truth}          success, score, truth
//   request.messages, tools | functions      messages, tools
//   request.temperature … (kParams)          params; function_call becomes tool_choice
//   request.stream                           streamed flag
//   response.choices[] {message, finish_reason, index}     choices, by index
//   response.choices[].logprobs.content[]    the choice's logprobs, where its tokens spell it (call/logprobs.h)
//   response.model (else request.model)      model
//   response.usage                           usage
//   response.error | error                   error (type, code, param, status); an HTTP status of 400 or more without
//   one is an error too response {status_code, body}             body is the response (batch output, gateways)
//   system_fingerprint, service_tier, prompt_version       extra
//   everything else (metadata, prompt_cache_key, addresses, URLs, headers …)      not kept
//
// A record without `request` that has `messages` and `response` side by side is read the same way.
// Source: openai-python src/openai/types/chat; the envelope's field names are our own.
#include <algorithm>
#include <vector>

#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"
#include "call/dialects/recognise.h"
#include "call/logprobs.h"

namespace slm::dialects {

namespace {

constexpr std::string_view kParams[] = {"temperature",
                                        "top_p",
                                        "n",
                                        "max_tokens",
                                        "max_completion_tokens",
                                        "stop",
                                        "seed",
                                        "response_format",
                                        "logprobs",
                                        "top_logprobs",
                                        "tool_choice",
                                        "parallel_tool_calls",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "logit_bias",
                                        "reasoning_effort",
                                        "verbosity",
                                        "modalities",
                                        "top_k"};

json::object* object_at(json::object& object, std::string_view key) {
  auto* v = object.if_contains(key);
  return v == nullptr ? nullptr : v->if_object();
}

void take(json::object& from, std::string_view key, json::object& to) {
  if (auto* v = from.if_contains(key); v != nullptr && !v->is_null() && !to.contains(key))
    to.emplace(key, std::move(*v));
}

// functions → tools, function_call → tool_choice.
std::string_view read_tools(json::object& request, CallBody& body) {
  for (const std::string_view key : {"tools", "functions"}) {
    auto* v = request.if_contains(key);
    if (v == nullptr || v->is_null() || !body.tools.empty()) continue;
    if (!v->is_array()) return "bad_tools";
    body.tools = std::move(v->get_array());
  }
  if (const auto reason = normalise_tools(body.tools); !reason.empty()) return reason;
  const auto* choice = request.if_contains("function_call");
  if (choice == nullptr || request.contains("tool_choice")) return {};
  if (choice->is_string())
    body.params.emplace("tool_choice", *choice);
  else if (const auto* named = choice->if_object())
    body.params.emplace("tool_choice",
                        json::object{{"type", "function"}, {"function", {{"name", get_string(*named, "name")}}}});
  return {};
}

std::string_view read_choices(json::object& response, Call& call) {
  auto* v = response.if_contains("choices");
  if (v == nullptr || v->is_null()) return {};
  auto* list = v->if_array();
  if (list == nullptr) return "bad_choices";
  std::vector<std::pair<int64_t, json::object*>> ordered;
  for (auto& item : *list) {
    auto* choice = item.if_object();
    if (choice == nullptr) return "bad_choices";
    ordered.emplace_back(get_int(*choice, "index").value_or(0), choice);
  }
  std::stable_sort(ordered.begin(), ordered.end(), [](auto& a, auto& b) { return a.first < b.first; });
  for (auto& [index, choice] : ordered) {
    auto* message = object_at(*choice, "message");
    if (message == nullptr) return "bad_choices";
    if (const auto reason = normalise_answer(*message, call.meta.flags.vision); !reason.empty()) return reason;
    json::object kept;
    if (const auto* logprobs = get_object(*choice, "logprobs"))
      if (const auto* content = message->if_contains("content"); content != nullptr && content->is_string())
        if (const auto tokens = logged_tokens(*logprobs, content->get_string()); !tokens.empty())
          kept.emplace("logprobs", to_json(tokens));
    kept.emplace("message", std::move(*message));
    if (const auto finish = get_string(*choice, "finish_reason"); !finish.empty())
      kept.emplace("finish_reason", normalise_finish(finish));
    call.body.choices.push_back(std::move(kept));
  }
  return {};
}

int64_t count_assistant_turns(const json::array& messages) {
  return std::count_if(messages.begin(), messages.end(), [](const json::value& message) {
    return message.is_object() && get_string(message.get_object(), "role") == "assistant";
  });
}

std::string_view read_request(json::object& request, Call& call) {
  auto* messages = request.if_contains("messages");
  if (messages == nullptr || !messages->is_array() || messages->get_array().empty()) return "no_messages";
  call.body.messages = std::move(messages->get_array());
  if (const auto reason = normalise_messages(call.body.messages, call.meta.flags.vision); !reason.empty())
    return reason;
  for (const auto key : kParams) take(request, key, call.body.params);
  if (const auto reason = read_tools(request, call.body); !reason.empty()) return reason;
  call.meta.flags.streamed = get_bool(request, "stream").value_or(false);
  call.meta.model = get_string(request, "model");
  call.meta.source = first_label(request, {"safety_identifier", "user"});
  if (const auto* metadata = get_object(request, "metadata"))
    call.meta.session = first_label(*metadata, {"session_id", "conversation_id", "thread_id"});
  return {};
}

// `response` may be null (nothing came back), {status_code, body}, {error} or a chat completion.
std::string_view read_response(json::value* value, Call& call) {
  if (value == nullptr || value->is_null()) return {};
  auto* response = value->if_object();
  if (response == nullptr) return "bad_response";
  const auto status = get_int(*response, "status_code");
  if (!response->contains("choices"))
    if (auto* body = object_at(*response, "body")) response = body;
  take(*response, "system_fingerprint", call.body.extra);
  take(*response, "service_tier", call.body.extra);
  if (auto* error = response->if_contains("error"); error != nullptr && !error->is_null())
    call.body.error = clean_error(*error);
  else if (status && *status >= 400)
    call.body.error = json::object{{"status_code", *status}};
  if (const auto reason = read_choices(*response, call); !reason.empty()) return reason;
  if (const auto model = get_string(*response, "model"); !model.empty()) call.meta.model = model;
  if (const auto* usage = get_object(*response, "usage")) call.meta.usage = read_usage(*usage);
  return read_time(*response, {"created"}, call.meta.time_ms);
}

std::string_view read_envelope(json::object& record, Call& call) {
  CallMeta& meta = call.meta;
  if (const auto reason = read_time(record, {"timestamp", "time", "created_at"}, meta.time_ms); !reason.empty())
    return reason;
  meta.site = first_label(record, {"workload_id", "site", "call_site"});
  if (auto session = first_label(record, {"session_id", "conversation_id", "thread_id", "trace_id"}); !session.empty())
    meta.session = std::move(session);
  if (auto source = read_label(record.if_contains("client_id")); !source.empty()) meta.source = std::move(source);
  meta.group = first_label(record, {"case_id"});
  meta.seq = get_int(record, "seq").value_or(count_assistant_turns(call.body.messages));
  meta.latency_ms = get_number(record, "latency_ms");
  meta.ttft_ms = get_number(record, "ttft_ms");
  meta.provider = get_string(record, "provider");
  take(record, "prompt_version", call.body.extra);
  if (auto* error = record.if_contains("error"); error != nullptr && !error->is_null() && call.body.error.is_null())
    call.body.error = clean_error(*error);
  return {};
}

}  // namespace

int sniff_openai_chat(const json::value& record) {
  const auto* object = record.if_object();
  if (object == nullptr) return 0;
  if (const auto* request = get_object(*object, "request")) return request->contains("messages") ? 100 : 40;
  return get_array(*object, "messages") != nullptr && object->contains("response") ? 90 : 0;
}

std::string_view parse_openai_chat(json::value& record, CallSink& sink) {
  auto* object = record.if_object();
  if (object == nullptr) return "not_an_object";
  auto* request = object->contains("request") ? object_at(*object, "request") : object;
  if (request == nullptr) return "bad_request";
  LoggedCall logged;
  Call& call = logged.call;
  if (const auto reason = read_request(*request, call); !reason.empty()) return reason;
  if (const auto reason = read_response(object->if_contains("response"), call); !reason.empty()) return reason;
  if (const auto reason = read_envelope(*object, call); !reason.empty()) return reason;
  Outcome outcome;
  if (const auto reason = read_outcome(object->if_contains("outcome"), outcome); !reason.empty()) return reason;
  set_outcome(call, outcome);
  if (!call.body.choices.empty())
    call.meta.finish_reason = get_string(call.body.choices.front().get_object(), "finish_reason");

  logged.failure = failure_of(call.body);
  call.meta.flags.failed = !logged.failure.empty();
  call.meta.flags.truncated = logged.failure == "length";
  auto stated = get_bool(*object, "human_facing");
  if (!stated) stated = get_bool(*object, "hci");
  call.meta.flags.hci = is_human_facing(
      {stated, call.meta.site, is_conversation(call.body.messages), &call.body.params, answer_of(call.body)});
  sink.call(logged);
  return {};
}

}  // namespace slm::dialects
