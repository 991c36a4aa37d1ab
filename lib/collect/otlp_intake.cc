#include "collect/otlp_intake.h"

#include <fmt/format.h>

#include <protozero/pbf_writer.hpp>

#include "call/ascii.h"
#include "schema/json.h"

namespace slm::collect {

namespace {

constexpr unsigned kMaxDepth = 96;
constexpr std::string_view kProtobuf = "application/x-protobuf", kJson = "application/json";

struct Signal {
  std::string_view path, rejected_key;
  std::string_view (*read_protobuf)(std::string_view bytes, otel::Batch& out);
};
constexpr Signal kSignals[] = {{"/v1/traces", "rejectedSpans", otel::read_protobuf_traces},
                               {"/v1/logs", "rejectedLogRecords", otel::read_protobuf_logs}};

// The media type without its parameters, in small letters.
std::string media_type(std::string_view content_type) {
  std::string out;
  for (const char c : content_type.substr(0, content_type.find(';')))
    if (c != ' ' && c != '\t') out += ascii_lower(c);
  return out;
}

bool is_json(const OtlpRequest& request) { return media_type(request.content_type) == kJson; }

OtlpAnswer success(const OtlpRequest& request, const Signal& signal, int64_t n_rejected) {
  constexpr std::string_view kWhy = "without the ids of trace and span";
  OtlpAnswer out;
  if (is_json(request)) {
    json::object body;
    if (n_rejected > 0)
      body["partialSuccess"] = json::object{{signal.rejected_key, std::to_string(n_rejected)}, {"errorMessage", kWhy}};
    out.content_type = kJson;
    out.body = json::serialize(body);
    return out;
  }
  out.content_type = kProtobuf;
  if (n_rejected > 0) {
    std::string partial;
    protozero::pbf_writer inner(partial);
    inner.add_int64(1, n_rejected);
    inner.add_string(2, kWhy.data(), kWhy.size());
    protozero::pbf_writer(out.body).add_message(1, partial);
  }
  return out;
}

}  // namespace

OtlpAnswer refuse_otlp(const OtlpRequest& request, int status, std::string_view why) {
  constexpr int kInvalidArgument = 3, kUnavailable = 14, kRetryS = 5;
  const int code = status == 503 ? kUnavailable : kInvalidArgument;
  OtlpAnswer out;
  out.status = status;
  if (status == 503) out.retry_after_s = kRetryS;
  if (is_json(request)) {
    out.content_type = kJson;
    out.body = json::serialize(json::object{{"code", code}, {"message", why}});
  } else {
    out.content_type = kProtobuf;
    protozero::pbf_writer writer(out.body);
    writer.add_int32(1, code);
    writer.add_string(2, why.data(), why.size());
  }
  return out;
}

OtlpAnswer read_otlp(const OtlpRequest& request, otel::Batch& out) {
  const Signal* signal = nullptr;
  for (const Signal& row : kSignals)
    if (request.path == row.path) signal = &row;
  if (signal == nullptr) return refuse_otlp(request, 404, "received are /v1/traces and /v1/logs");
  if (request.method != "POST") return refuse_otlp(request, 405, "POST is what is received");
  const std::string type = media_type(request.content_type);
  std::string_view reason;
  if (type == kProtobuf) {
    reason = signal->read_protobuf(request.body, out);
  } else if (type == kJson) {
    const auto value = parse_json(request.body, kMaxDepth);
    reason = value ? otel::read_json(*value, out) : "bad_otlp";
  } else {
    return refuse_otlp(request, 415, "received are application/x-protobuf and application/json");
  }
  if (!reason.empty()) return refuse_otlp(request, 400, "the body is no OTLP of this signal");
  const int64_t n_rejected = out.n_bad_spans + out.n_bad_logs;
  return success(request, *signal, n_rejected);
}

}  // namespace slm::collect
