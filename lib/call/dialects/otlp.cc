// OTLP traces and logs, in OTLP's JSON (the OpenTelemetry collector's file exporter, exporters to a file): a record is
// one batch {resourceSpans: […]} or {resourceLogs: […]}; its calls are joined by trace over all records of the input.
//
//   span                                           call
//   its attributes and events                      as otel_genai.cc and openinference.cc say
//   log records of the same trace and span         events of that span; without it they stand for a span themselves
//   startTimeUnixNano, endTimeUnixNano             time, latency
//   gen_ai.conversation.id | session.id | traceId  session; seq by start time in the trace
//   status error | error.type                      error {type}
//   enduser.id | user.id | gen_ai.user | llm.user | the resource's service.name   source, pseudonym when stored
//   everything else (resource, scope, other spans' text, links, tags, metadata)   not kept
//
// Source: open-telemetry/opentelemetry-proto docs/specification.md and opentelemetry/proto.
#include "call/dialects/otlp.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "call/dialects/normalise.h"
#include "call/dialects/recognise.h"
#include "call/dialects/unfold.h"

namespace slm::dialects {

namespace {

constexpr SpanConvention kConventions[] = {{is_genai_call, read_genai}, {is_openinference_call, read_openinference}};
constexpr int64_t kNsPerMs = 1'000'000;

const SpanConvention* convention_of(const otel::Span& span) {
  for (const auto& row : kConventions)
    if (row.is_call(span)) return &row;
  return nullptr;
}

uint64_t bytes_of(const json::object& object) {
  uint64_t n = 0;
  for (const auto& item : object) n += item.key().size() + text_bytes(item.value());
  return n;
}

uint64_t bytes_of(const otel::Span& span) {
  uint64_t n = 200 + bytes_of(span.attributes);
  for (const auto& event : span.events) n += 100 + bytes_of(event.attributes) + text_bytes(event.body);
  return n;
}

bool normalise(Call& call) {
  CallBody& body = call.body;
  if (!normalise_messages(body.messages, call.meta.flags.vision).empty()) return false;
  for (auto& choice : body.choices)
    if (!normalise_answer(choice.get_object()["message"].get_object(), call.meta.flags.vision).empty()) return false;
  return normalise_tools(body.tools).empty();
}

int64_t count_assistant_turns(const json::array& messages) {
  return std::count_if(messages.begin(), messages.end(), [](const json::value& message) {
    return get_string(message.get_object(), "role") == "assistant";
  });
}

void read_common(const otel::Span& span, Call& call) {
  CallMeta& meta = call.meta;
  const json::object& attributes = span.attributes;
  if (span.start_ns > 0) meta.time_ms = static_cast<int64_t>(span.start_ns / kNsPerMs);
  if (span.end_ns >= span.start_ns && span.start_ns > 0 && span.end_ns != span.start_ns)
    meta.latency_ms = static_cast<double>(span.end_ns - span.start_ns) / kNsPerMs;
  meta.source = first_label(attributes, {"enduser.id", "user.id", "gen_ai.user", "llm.user"});
  if (meta.source.empty()) meta.source = span.service;
  const auto type = get_string(attributes, "error.type");
  if (span.failed || !type.empty())
    call.body.error = clean_error(json::object{{"type", type.empty() ? std::string_view("error") : type}});
}

// The span as a call; "" or why it is left out.
std::string_view read_call(otel::Span& span, const SpanConvention& convention, LoggedCall& out) {
  Call& call = out.call;
  read_common(span, call);
  call.meta.session = first_label(span.attributes, {"gen_ai.conversation.id", "session.id"});
  const bool is_cut = span.n_dropped_attributes > 0;
  const Traced read = convention.read(span, call);
  if (read == Traced::kCut) return "content_cut";
  if (read == Traced::kNothing || call.body.messages.empty()) return "no_content";
  if (!normalise(call)) return "bad_message";
  CallMeta& meta = call.meta;
  meta.seq = count_assistant_turns(call.body.messages);
  if (!call.body.choices.empty())
    meta.finish_reason = get_string(call.body.choices.front().get_object(), "finish_reason");
  out.failure = failure_of(call.body);
  if (is_cut && out.failure.empty()) out.failure = "cut";
  meta.flags.failed = !out.failure.empty();
  meta.flags.truncated = is_cut || out.failure == "length";
  meta.flags.hci = is_human_facing(
      {std::nullopt, meta.site, is_conversation(call.body.messages), &call.body.params, answer_of(call.body)});
  return {};
}

}  // namespace

void OtlpJoiner::add(otel::Batch batch, int64_t now_ms, CallSink& sink) {
  for (int64_t i = 0; i < batch.n_bad_spans; ++i) sink.skip("bad_span");
  for (int64_t i = 0; i < batch.n_bad_logs; ++i) sink.skip("bad_log");
  const auto trace_of = [&](const std::string& id, uint64_t n_bytes) -> Trace& {
    Trace& trace = traces_.at(id, n_bytes);
    if (trace.since_ms == 0) trace.since_ms = now_ms;
    return trace;
  };
  for (auto& span : batch.spans) {
    const bool is_call = convention_of(span) != nullptr;
    Trace& trace = trace_of(span.trace_id, is_call ? bytes_of(span) : 100);
    if (!trace.parents.try_emplace(span.span_id, span.parent_id).second)
      sink.skip("repeated_span");
    else if (is_call)
      trace.calls.push_back(std::move(span));
    else
      sink.skip("other_span");
  }
  for (auto& log : batch.logs) {
    if (!log.event.name.starts_with("gen_ai.") && get_string(log.event.attributes, "event.name").empty()) {
      sink.skip("other_log");
      continue;
    }
    if (log.event.name.empty()) log.event.name = get_string(log.event.attributes, "event.name");
    const uint64_t n_bytes = 100 + bytes_of(log.event.attributes) + text_bytes(log.event.body);
    trace_of(log.trace_id, n_bytes).logs.push_back(std::move(log));
  }
  while (traces_.is_full() && !stopped_) emit_oldest(sink);
}

void OtlpJoiner::emit_oldest(CallSink& sink) {
  Trace trace = traces_.take_oldest();
  std::unordered_map<std::string, size_t> by_id;
  for (size_t i = 0; i < trace.calls.size(); ++i) by_id.try_emplace(trace.calls[i].span_id, i);
  for (auto& log : trace.logs) {
    const auto [found, is_new] = by_id.try_emplace(log.span_id, trace.calls.size());
    if (is_new) {
      otel::Span span;
      span.trace_id = log.trace_id;
      span.span_id = log.span_id;
      span.service = log.service;
      trace.calls.push_back(std::move(span));
    }
    trace.calls[found->second].events.push_back(std::move(log.event));
  }
  for (auto& span : trace.calls) {
    std::stable_sort(span.events.begin(), span.events.end(), [](auto& a, auto& b) { return a.time_ns < b.time_ns; });
    if (span.start_ns == 0 && !span.events.empty()) {
      span.start_ns = span.events.front().time_ns;
      span.end_ns = span.events.back().time_ns;
    }
  }
  std::stable_sort(trace.calls.begin(), trace.calls.end(), [](auto& a, auto& b) { return a.start_ns < b.start_ns; });

  struct Read {
    LoggedCall logged;
    std::string span_id;
    std::string_view reason;
  };
  std::vector<Read> calls(trace.calls.size());
  for (size_t i = 0; i < calls.size(); ++i) {
    calls[i].span_id = trace.calls[i].span_id;
    const auto* convention = convention_of(trace.calls[i]);
    calls[i].reason = convention == nullptr ? "other_span" : read_call(trace.calls[i], *convention, calls[i].logged);
  }
  // A call with text around another one with text is that one's wrapper.
  constexpr int kMaxSteps = 256;
  std::unordered_set<std::string> wrappers;
  for (const Read& read : calls) {
    if (!read.reason.empty()) continue;
    const std::string* at = &read.span_id;
    for (int step = 0; step < kMaxSteps; ++step) {
      const auto parent = trace.parents.find(*at);
      if (parent == trace.parents.end() || parent->second.empty() || parent->second == read.span_id) break;
      at = &parent->second;
      wrappers.insert(*at);
    }
  }
  int64_t seq = 0;
  for (Read& read : calls) {
    if (stopped_) return;
    if (read.reason.empty() && wrappers.contains(read.span_id)) read.reason = "nested_span";
    if (!read.reason.empty()) {
      sink.skip(read.reason);
      continue;
    }
    CallMeta& meta = read.logged.call.meta;
    if (meta.session.empty()) {
      meta.session = trace.calls.front().trace_id;
      meta.seq = seq++;
    }
    read.logged.key = "otlp " + trace.calls.front().trace_id + " " + read.span_id;
    stopped_ = !sink.call(read.logged);
  }
}

std::string_view OtlpJoiner::add(json::value& record, CallSink& sink) {
  otel::Batch batch;
  if (const auto reason = otel::read_json(record, batch); !reason.empty()) return reason;
  add(std::move(batch), 1, sink);
  return {};
}

void OtlpJoiner::expire(int64_t then_ms, CallSink& sink) {
  while (!stopped_ && !traces_.empty() && traces_.oldest().since_ms < then_ms) emit_oldest(sink);
}

void OtlpJoiner::finish(CallSink& sink) {
  while (!stopped_ && !traces_.empty()) emit_oldest(sink);
}

int sniff_otlp(const json::value& record) {
  const auto* object = record.if_object();
  return object != nullptr && (object->contains("resourceSpans") || object->contains("resourceLogs")) ? 100 : 0;
}

std::string_view parse_otlp(json::value& record, CallSink& sink) {
  OtlpJoiner joiner;
  if (const auto reason = joiner.add(record, sink); !reason.empty()) return reason;
  joiner.finish(sink);
  return {};
}

std::unique_ptr<RecordJoiner> join_otlp() { return std::make_unique<OtlpJoiner>(); }

}  // namespace slm::dialects
