// Calls out of OpenTelemetry spans and log records: which spans are calls, and what each says.
//
//   otlp.cc            joins spans and log records by trace
//   otel_genai.cc      GenAI semantic conventions, current and deprecated, and OpenLLMetry's
//   openinference.cc   OpenInference
//
// Left out, and counted:
//   other_span         a chain, an agent, a tool's execution, an embedding, anything that is no call of a model
//   no_content         a call's span without its text (content capture is opt-in, or was masked)
//   content_cut        its text ends in the middle (a length limit of who wrote it)
//   nested_span        a call around a call of the same trace that has text too: the inner one is the model's
//   repeated_span      sent again, as exporters do when no answer came
//   bad_message        its messages aren't of a known shape
//   bad_span, bad_log  without the ids of trace and span
// A span that lost attributes to a limit is kept as a failed call ("cut") with the flag `truncated`.
// Memory: at most kMaxHeldBytes of text held back (held.h); beyond that the oldest trace goes as it is.
#pragma once

#include "call/dialects/dialect.h"
#include "call/dialects/held.h"
#include "call/dialects/traced.h"
#include "call/otel.h"

namespace slm::dialects {

// One row for each way of writing a call into a span.
struct SpanConvention {
  bool (*is_call)(const otel::Span& span);
  // What the span says of its call, prompt and answers not yet normalised; takes its attributes apart.
  Traced (*read)(otel::Span& span, Call& call);
};
bool is_genai_call(const otel::Span& span);
Traced read_genai(otel::Span& span, Call& call);
bool is_openinference_call(const otel::Span& span);
Traced read_openinference(otel::Span& span, Call& call);

class OtlpJoiner final : public RecordJoiner {
 public:
  std::string_view add(json::value& record, CallSink& sink) override;
  void finish(CallSink& sink) override;
  // For a receiver: what arrived at now_ms, and the traces whose first part came before then_ms.
  void add(otel::Batch batch, int64_t now_ms, CallSink& sink);
  void expire(int64_t then_ms, CallSink& sink);
  bool empty() const { return traces_.empty(); }

 private:
  struct Trace {
    int64_t since_ms = 0;
    std::vector<otel::Span> calls;
    std::unordered_map<std::string, std::string> parents;  // of every span
    std::vector<otel::LogRecord> logs;
  };
  void emit_oldest(CallSink& sink);

  Held<Trace> traces_;
  bool stopped_ = false;
};

}  // namespace slm::dialects
