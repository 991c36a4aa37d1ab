// Transcripts of what passed between a client and a provider: a record is one request with its response, as JSON or as
// the raw text of a stream (server-sent events).
//
//   record                                         call
//   request (an object, or its JSON text)          as the API's own dialect reads it
//   response (an object, JSON text, a stream's text, or {status_code | status, body} of one of these)
//                                                  the same; a stream is put together first (recording.h)
//   path | url                                     the API, by its end; else it is told by the shape:
//     response {type: message}, event message_start         anthropic
//     request.input, response {object: response}             openai_responses
//     request.messages                                        openai_chat (only where the response is a stream's text)
//   timestamp | time | created_at, else response.created | created_at   time
//   session_id | conversation_id | thread_id | trace_id     session, where the request names none
//   workload_id | site | call_site                 site
//   client_id                                      source, pseudonym when stored
//   latency_ms, ttft_ms                            the same
//   everything else (headers, addresses)           not kept
// Three dialects share this file, since they share the envelope: anthropic, openai_responses, transcript (a stream's
// text). What can't be read is unreadable here ("bad_transcript"), not kept raw.
//
// Source: anthropic.cc, openai_responses.cc, openai_chat.cc; the envelope's field names are our own.
#include <utility>

#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"
#include "call/recording.h"

namespace slm::dialects {

namespace {

bool is_stream(std::string_view text) {
  return text.starts_with("data:") || text.starts_with("event:") || text.starts_with(": ");
}

// What the response says, out of {status_code, body}.
const json::value* response_of(const json::object& record) {
  const auto* response = record.if_contains("response");
  if (response == nullptr) return nullptr;
  if (const auto* object = response->if_object())
    if (const auto* body = object->if_contains("body"); body != nullptr && !body->is_null()) return body;
  return response;
}

bool has_stream(const json::object& record) {
  const auto* response = response_of(record);
  return response != nullptr && response->is_string() && is_stream(response->get_string());
}

Api api_by_path(const json::object& record) {
  std::string_view path = get_string(record, "path");
  if (path.empty()) path = get_string(record, "url");
  return path.empty() ? Api::kNone : api_of("POST", path);
}

Api api_by_shape(const json::object& record) {
  const auto* response = response_of(record);
  const auto* request = get_object(record, "request");
  if (response != nullptr)
    if (const auto* object = response->if_object()) {
      if (get_string(*object, "type") == "message" && get_array(*object, "content") != nullptr) return Api::kMessages;
      if (get_string(*object, "object") == "response" && get_array(*object, "output") != nullptr)
        return Api::kResponses;
    }
  if (!has_stream(record)) return Api::kNone;
  const std::string_view text = response->get_string();
  if (text.substr(0, 4096).find("\"message_start\"") != std::string_view::npos) return Api::kMessages;
  if (text.substr(0, 4096).find("\"response.created\"") != std::string_view::npos) return Api::kResponses;
  if (request != nullptr && request->contains("input")) return Api::kResponses;
  return Api::kChat;
}

Api api_of_record(const json::object& record) {
  const Api api = api_by_path(record);
  return api != Api::kNone ? api : api_by_shape(record);
}

std::string text_of(const json::value& value) {
  if (value.is_null()) return {};
  return value.is_string() ? std::string(value.get_string()) : json::serialize(value);
}

std::string_view parse(json::value& record, Api api, CallSink& sink) {
  const auto* object = record.if_object();
  if (object == nullptr) return "not_an_object";
  const auto* request = object->if_contains("request");
  const auto* response = response_of(*object);
  if (request == nullptr) return "no_request";
  std::optional<int64_t> time_ms;
  if (const auto reason = read_time(*object, {"timestamp", "time", "created_at"}, time_ms); !reason.empty())
    return reason;

  Exchange exchange;
  exchange.api = api;
  exchange.request = text_of(*request);
  if (response != nullptr && !response->is_null()) {
    exchange.response = text_of(*response);
    exchange.event_stream = response->is_string() && is_stream(response->get_string());
    exchange.status = 200;
    if (const auto* outer = get_object(*object, "response"))
      for (const std::string_view key : {"status_code", "status"})
        if (const auto status = get_int(*outer, key); status && *status > 0 && *status < 1000)
          exchange.status = static_cast<int>(*status);
    if (!time_ms && response->is_object())
      if (const auto reason = read_time(response->get_object(), {"created", "created_at"}, time_ms); !reason.empty())
        return reason;
  }
  exchange.site = first_label(*object, {"workload_id", "site", "call_site"});
  exchange.source = read_label(object->if_contains("client_id"));
  LoggedCall logged = record_call(std::move(exchange));
  CallMeta& meta = logged.call.meta;
  if (meta.flags.undecoded) return "bad_transcript";
  meta.time_ms = time_ms;
  meta.latency_ms = get_number(*object, "latency_ms");
  meta.ttft_ms = get_number(*object, "ttft_ms");
  if (auto session = first_label(*object, {"session_id", "conversation_id", "thread_id", "trace_id"}); !session.empty())
    meta.session = std::move(session);
  sink.call(logged);
  return {};
}

int sniff(const json::value& record, Api api, bool stream) {
  const auto* object = record.if_object();
  if (object == nullptr || !object->contains("request") || !object->contains("response")) return 0;
  return has_stream(*object) == stream && (stream || api_of_record(*object) == api) ? 100 : 0;
}

}  // namespace

int sniff_anthropic(const json::value& record) { return sniff(record, Api::kMessages, false); }
std::string_view parse_anthropic_file(json::value& record, CallSink& sink) {
  return parse(record, Api::kMessages, sink);
}
int sniff_openai_responses(const json::value& record) { return sniff(record, Api::kResponses, false); }
std::string_view parse_openai_responses_file(json::value& record, CallSink& sink) {
  return parse(record, Api::kResponses, sink);
}
int sniff_transcript(const json::value& record) { return sniff(record, Api::kNone, true); }
std::string_view parse_transcript(json::value& record, CallSink& sink) {
  const auto* object = record.if_object();
  if (object == nullptr) return "not_an_object";
  Api api = api_of_record(*object);
  if (api == Api::kNone) api = Api::kChat;
  return parse(record, api, sink);
}

}  // namespace slm::dialects
