// Langfuse exports, as JSON or JSON lines: observations, traces with or without theirs, and ingestion events. They are
// joined over all records of the input: updates of one observation, and an observation with its trace. Names in
// camelCase (API, export from the screen) and in snake_case (export to a bucket) are read alike.
//
//   observation of type GENERATION                 one call
//   input (messages, {messages, tools}, text)      messages, tools (traced.h)
//   output (a message, {choices}, text, any JSON)  choices
//   modelParameters                                params, an allow-list
//   model | providedModelName                      model
//   usageDetails | usage {input, output, …}        usage
//   startTime, endTime, completionStartTime        time, latency, time to first token
//   promptName | name                              site
//   level ERROR                                    error; its message isn't kept
//   the trace's sessionId, else traceId            session
//   the trace's userId                             source, pseudonym when stored
//   observation of another type                    left out, counted as "other_span"
//   a generation without input                     left out, counted as "no_content"
//   everything else (metadata, tags, scores, costs, statusMessage, release)   not kept
// An ingestion event {type: …-create | …-update, body}, or a batch of them, stands for its body.
//
// Memory: held.h's bound; beyond it the oldest observation goes as it is.
// Source: langfuse/langfuse fern/apis/server/definition/{commons,ingestion}.yml.
#include <algorithm>
#include <optional>

#include "call/dialects/dialect.h"
#include "call/dialects/held.h"
#include "call/dialects/normalise.h"
#include "call/dialects/recognise.h"
#include "call/dialects/traced.h"
#include "call/dialects/unfold.h"

namespace slm::dialects {

namespace {

constexpr std::string_view kParams[] = {"temperature",
                                        "top_p",
                                        "top_k",
                                        "n",
                                        "max_tokens",
                                        "max_completion_tokens",
                                        "stop",
                                        "seed",
                                        "response_format",
                                        "tool_choice",
                                        "parallel_tool_calls",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "reasoning_effort"};
constexpr std::string_view kTypes[] = {"GENERATION", "SPAN",      "EVENT",     "AGENT",     "TOOL",
                                       "CHAIN",      "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"};

// "trace_id" as "traceId": names of the two kinds of export become one.
std::string camel(std::string_view name) {
  std::string out;
  bool up = false;
  for (const char c : name) {
    if (c == '_') {
      up = !out.empty();
      continue;
    }
    out += up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    up = false;
  }
  return out;
}

json::object camel_keys(json::object object) {
  if (std::none_of(object.begin(), object.end(),
                   [](auto& item) { return std::string_view(item.key()).find('_') != std::string_view::npos; }))
    return object;
  json::object out;
  for (auto& item : object) out.insert_or_assign(camel(item.key()), std::move(item.value()));
  return out;
}

bool is_observation(const json::object& object) {
  const auto type = get_string(object, "type");
  const bool of_trace = object.contains("traceId") || object.contains("trace_id");
  return of_trace && (object.contains("startTime") || object.contains("start_time")) &&
         std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

bool is_trace(const json::object& object) {
  const auto* observations = get_array(object, "observations");
  if (observations != nullptr && object.contains("id") &&
      (observations->empty() || !observations->front().is_object() ||
       is_observation(observations->front().get_object())))
    return true;
  return object.contains("id") && object.contains("timestamp") &&
         (object.contains("sessionId") || object.contains("session_id")) &&
         (object.contains("userId") || object.contains("user_id")) && !object.contains("messages");
}

// The kind of thing that an ingestion event is about; "" if it is none.
std::string_view event_kind(const json::object& object) {
  const auto type = get_string(object, "type");
  if (get_object(object, "body") == nullptr) return {};
  for (const std::string_view kind : {"trace", "generation", "span", "event", "observation", "score", "sdk-log"})
    if (type.starts_with(kind) && (type.size() == kind.size() || type[kind.size()] == '-')) return kind;
  return {};
}

struct TraceInfo {
  std::string session, user;
};

std::optional<double> ms_between(const json::object& object, std::string_view from, std::string_view to) {
  std::optional<int64_t> start, end;
  if (!read_time(object, {from}, start).empty() || !read_time(object, {to}, end).empty()) return std::nullopt;
  if (!start || !end || *end < *start) return std::nullopt;
  return static_cast<double>(*end - *start);
}

Usage usage_of(const json::object& observation) {
  for (const std::string_view key : {"usageDetails", "usage"}) {
    const auto* usage = get_object(observation, key);
    if (usage == nullptr || usage->empty()) continue;
    Usage out = read_usage(*usage);
    const auto count = [&](std::initializer_list<std::string_view> names) -> std::optional<int64_t> {
      for (const auto name : names)
        if (const auto n = get_int(*usage, name); n && *n >= 0) return n;
      return std::nullopt;
    };
    if (!out.n_in) out.n_in = count({"input", "promptTokens"});
    if (!out.n_out) out.n_out = count({"output", "completionTokens"});
    if (!out.n_cached) out.n_cached = count({"input_cached_tokens", "cache_read_input_tokens"});
    return out;
  }
  return {};
}

// Text of a snake_case export holds JSON; so do older exports of input and output.
json::value opened(json::object& object, std::string_view key) {
  auto* v = object.if_contains(key);
  if (v == nullptr) return nullptr;
  if (v->is_string() && v->get_string().starts_with('{'))
    if (auto parsed = parse_json(v->get_string(), 64)) return std::move(*parsed);
  return std::move(*v);
}

std::string_view read_generation(json::object& observation, const TraceInfo* trace, LoggedCall& out) {
  Call& call = out.call;
  CallMeta& meta = call.meta;
  CallBody& body = call.body;
  if (const auto reason = read_time(observation, {"startTime"}, meta.time_ms); !reason.empty()) return reason;
  meta.latency_ms = ms_between(observation, "startTime", "endTime");
  meta.ttft_ms = ms_between(observation, "startTime", "completionStartTime");
  meta.flags.streamed = meta.ttft_ms.has_value();
  meta.model = first_label(observation, {"model", "providedModelName"});
  meta.site = first_label(observation, {"promptName", "name"});
  meta.usage = usage_of(observation);
  if (trace != nullptr) meta.session = trace->session, meta.source = trace->user;
  if (meta.session.empty()) meta.session = first_label(observation, {"sessionId", "traceId"});
  if (meta.source.empty()) meta.source = first_label(observation, {"userId"});
  if (get_string(observation, "level") == "ERROR") body.error = json::object{{"type", "error"}};
  if (auto parameters = opened(observation, "modelParameters"); parameters.is_object())
    for (const auto key : kParams)
      if (auto* v = parameters.get_object().if_contains(key); v != nullptr && !v->is_null())
        body.params.emplace(key, std::move(*v));

  TracedRequest request;
  const Traced input = read_traced_request(opened(observation, "input"), "user", request);
  const Traced output = read_traced_answers(opened(observation, "output"), body.choices);
  if (input == Traced::kCut || output == Traced::kCut) return "content_cut";
  if (request.messages.empty()) return "no_content";
  body.messages = std::move(request.messages);
  body.tools = std::move(request.tools);
  if (!normalise_messages(body.messages, meta.flags.vision).empty()) return "bad_message";
  for (auto& choice : body.choices)
    if (!normalise_answer(choice.get_object()["message"].get_object(), meta.flags.vision).empty()) return "bad_message";
  if (const auto reason = normalise_tools(body.tools); !reason.empty()) return reason;
  meta.seq = std::count_if(body.messages.begin(), body.messages.end(), [](const json::value& message) {
    return get_string(message.get_object(), "role") == "assistant";
  });
  if (!body.choices.empty()) meta.finish_reason = get_string(body.choices.front().get_object(), "finish_reason");
  out.failure = failure_of(body);
  meta.flags.failed = !out.failure.empty();
  meta.flags.truncated = out.failure == "length";
  meta.flags.hci =
      is_human_facing({std::nullopt, meta.site, is_conversation(body.messages), &body.params, answer_of(body)});
  return {};
}

class Joiner final : public RecordJoiner {
 public:
  std::string_view add(json::value& record, CallSink& sink) override {
    auto* object = record.if_object();
    if (object == nullptr) return "not_an_object";
    const std::string_view reason = add_object(*object, sink);
    while (held_.is_full() && !stopped_) emit_oldest(sink);
    return reason;
  }
  void finish(CallSink& sink) override {
    while (!held_.empty() && !stopped_) emit_oldest(sink);
  }

 private:
  std::string_view add_object(json::object& object, CallSink& sink) {
    if (auto* batch = object.if_contains("batch"); batch != nullptr && batch->is_array()) {
      std::string_view reason;
      for (auto& item : batch->get_array())
        if (!item.is_object() || !add_event(item.get_object(), sink)) reason = "bad_event";
      return reason;
    }
    if (!event_kind(object).empty()) return add_event(object, sink) ? "" : "bad_event";
    if (is_observation(object)) {
      add_observation(camel_keys(std::move(object)), sink);
      return {};
    }
    if (!is_trace(object)) return "bad_observation";
    add_trace(camel_keys(std::move(object)), sink);
    return {};
  }

  bool add_event(json::object& event, CallSink& sink) {
    const std::string_view kind = event_kind(event);
    if (kind.empty()) return false;
    json::object body = std::move(event["body"].get_object());
    if (kind == "trace") {
      add_trace(std::move(body), sink);
    } else if (kind == "generation") {
      body["type"] = "GENERATION";
      add_observation(std::move(body), sink);
    } else if (kind == "observation") {
      add_observation(std::move(body), sink);
    } else {
      sink.skip("other_span");
    }
    return true;
  }

  void add_trace(json::object trace, CallSink& sink) {
    const std::string id = read_label(trace.if_contains("id"));
    // What traces leave behind is small; so is the number of traces that are remembered.
    constexpr size_t kMaxTraces = 1 << 20;
    if (!id.empty() && traces_.size() < kMaxTraces) {
      TraceInfo& info = traces_[id];
      if (auto session = read_label(trace.if_contains("sessionId")); !session.empty()) info.session = session;
      if (auto user = read_label(trace.if_contains("userId")); !user.empty()) info.user = user;
    }
    if (auto* list = trace.if_contains("observations"); list != nullptr && list->is_array())
      for (auto& item : list->get_array())
        if (item.is_object()) {
          json::object observation = camel_keys(std::move(item.get_object()));
          observation.emplace("traceId", id);
          add_observation(std::move(observation), sink);
        }
  }

  void add_observation(json::object observation, CallSink& sink) {
    if (get_string(observation, "type") != "GENERATION") {
      sink.skip("other_span");
      return;
    }
    uint64_t n_bytes = 100;
    for (const auto& item : observation) n_bytes += item.key().size() + text_bytes(item.value());
    std::string id = read_label(observation.if_contains("id"));
    if (id.empty()) id = "#" + std::to_string(n_unnamed_++);
    json::object& held = held_.at(id, n_bytes);
    for (auto& item : observation)
      if (!item.value().is_null()) held.insert_or_assign(item.key(), std::move(item.value()));
  }

  void emit_oldest(CallSink& sink) {
    json::object observation = held_.take_oldest();
    const auto trace = traces_.find(read_label(observation.if_contains("traceId")));
    LoggedCall logged;
    const auto reason = read_generation(observation, trace == traces_.end() ? nullptr : &trace->second, logged);
    if (reason.empty())
      stopped_ = !sink.call(logged);
    else
      sink.skip(reason);
  }

  Held<json::object> held_;
  std::unordered_map<std::string, TraceInfo> traces_;
  uint64_t n_unnamed_ = 0;
  bool stopped_ = false;
};

}  // namespace

int sniff_langfuse(const json::value& record) {
  const auto* object = record.if_object();
  if (object == nullptr) return 0;
  if (is_observation(*object)) return 95;
  if (const auto* batch = get_array(*object, "batch"))
    return !batch->empty() && batch->front().is_object() && !event_kind(batch->front().get_object()).empty() ? 95 : 0;
  if (!event_kind(*object).empty() && object->contains("timestamp")) return 90;
  return is_trace(*object) ? 80 : 0;
}

std::string_view parse_langfuse(json::value& record, CallSink& sink) {
  Joiner joiner;
  if (const auto reason = joiner.add(record, sink); !reason.empty()) return reason;
  joiner.finish(sink);
  return {};
}

std::unique_ptr<RecordJoiner> join_langfuse() { return std::make_unique<Joiner>(); }

}  // namespace slm::dialects
