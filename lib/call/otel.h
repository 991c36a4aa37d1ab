// Spans and log records out of OTLP, JSON or protobuf: one shape for both.
//
// Ids in small hexadecimal letters; attributes as one JSON object each, AnyValue as the JSON value it stands for (bytes
// as base64, a number that JSON can't hold as null). Of a resource only its service's name is kept.
// Units: ns since the epoch.
// Requires: nothing of what is read.
// Errors: a reason: "bad_otlp" (not of this shape, damaged, too deep); what was read before is kept in the batch.
//   A span or record without a span's or trace's id is counted in the batch and left out.
// Threads: pure.
// Source: open-telemetry/opentelemetry-proto opentelemetry/proto/{common,trace,logs}/v1/*.proto and
// docs/specification.md (JSON encoding: lowerCamelCase keys, ids in hexadecimal, 64-bit integers as text or number,
// unknown keys passed over).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/json.h"

namespace slm::otel {

// A span's event, or a log record.
struct Event {
  std::string name;
  uint64_t time_ns = 0;
  json::object attributes;
  json::value body;
};

struct Span {
  std::string trace_id, span_id, parent_id;  // parent_id: "" of a root
  std::string service;
  uint64_t start_ns = 0, end_ns = 0;
  json::object attributes;
  std::vector<Event> events;
  bool failed = false;                // its status is an error
  uint64_t n_dropped_attributes = 0;  // by the limits of who wrote it
};

struct LogRecord {
  std::string trace_id, span_id, service;
  Event event;
};

struct Batch {
  std::vector<Span> spans;
  std::vector<LogRecord> logs;
  int64_t n_bad_spans = 0, n_bad_logs = 0;  // left out
};

// TracesData, LogsData and the requests of the same shape: {resourceSpans: […]} or {resourceLogs: […]}.
std::string_view read_json(const json::value& record, Batch& out);
// ExportTraceServiceRequest (= TracesData), ExportLogsServiceRequest (= LogsData).
std::string_view read_protobuf_traces(std::string_view bytes, Batch& out);
std::string_view read_protobuf_logs(std::string_view bytes, Batch& out);

}  // namespace slm::otel
