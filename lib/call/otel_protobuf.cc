#include <fmt/format.h>

#include <protozero/pbf_reader.hpp>

#include <cmath>

#include "call/otel.h"
#include "core/utf8.h"

namespace slm::otel {

namespace {

using protozero::pbf_reader;

// A value inside a value inside a value …: the JSON reader allows 96.
constexpr int kMaxDepth = 64;
struct TooDeep {};

std::string hex_id(protozero::data_view bytes) {
  std::string out;
  bool any = false;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes.data()[i]);
    any = any || byte != 0;
    out += fmt::format("{:02x}", byte);
  }
  return any ? out : std::string();
}

std::string base64(protozero::data_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k) word = word << 8 | (k < n ? static_cast<unsigned char>(bytes.data()[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? kDigits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

// A proto3 string is UTF-8; one that isn't has no place in JSON.
std::string text_of(protozero::data_view view) {
  const std::string_view text(view.data(), view.size());
  return is_utf8(text) ? std::string(text) : std::string();
}

json::value read_any(pbf_reader message, int depth);

// KeyValue: key = 1, value = 2.
void read_attribute(pbf_reader message, json::object& out, int depth) {
  std::string key;
  json::value value;
  while (message.next()) {
    if (message.tag() == 1 && message.has_wire_type(protozero::pbf_wire_type::length_delimited))
      key = text_of(message.get_view());
    else if (message.tag() == 2 && message.has_wire_type(protozero::pbf_wire_type::length_delimited))
      value = read_any(message.get_message(), depth);
    else
      message.skip();
  }
  out.insert_or_assign(key, std::move(value));
}

// AnyValue: string = 1, bool = 2, int = 3, double = 4, array = 5, kvlist = 6, bytes = 7.
json::value read_any(pbf_reader message, int depth) {
  if (depth > kMaxDepth) throw TooDeep();
  json::value out;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited):
        out = json::string(text_of(message.get_view()));
        break;
      case protozero::tag_and_type(2, protozero::pbf_wire_type::varint):
        out = message.get_bool();
        break;
      case protozero::tag_and_type(3, protozero::pbf_wire_type::varint):
        out = message.get_int64();
        break;
      case protozero::tag_and_type(4, protozero::pbf_wire_type::fixed64): {
        const double number = message.get_double();
        out = std::isfinite(number) ? json::value(number) : json::value();
        break;
      }
      case protozero::tag_and_type(5, protozero::pbf_wire_type::length_delimited): {
        json::array list;
        for (pbf_reader inner = message.get_message(); inner.next();)
          if (inner.tag_and_type() == protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited))
            list.push_back(read_any(inner.get_message(), depth + 1));
          else
            inner.skip();
        out = std::move(list);
        break;
      }
      case protozero::tag_and_type(6, protozero::pbf_wire_type::length_delimited): {
        json::object object;
        for (pbf_reader inner = message.get_message(); inner.next();)
          if (inner.tag_and_type() == protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited))
            read_attribute(inner.get_message(), object, depth + 1);
          else
            inner.skip();
        out = std::move(object);
        break;
      }
      case protozero::tag_and_type(7, protozero::pbf_wire_type::length_delimited):
        out = json::string(base64(message.get_view()));
        break;
      default:
        message.skip();
    }
  }
  return out;
}

// Span.Event: time = 1, name = 2, attributes = 3.
Event read_event(pbf_reader message) {
  Event out;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case protozero::tag_and_type(1, protozero::pbf_wire_type::fixed64):
        out.time_ns = message.get_fixed64();
        break;
      case protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited):
        out.name = text_of(message.get_view());
        break;
      case protozero::tag_and_type(3, protozero::pbf_wire_type::length_delimited):
        read_attribute(message.get_message(), out.attributes, 0);
        break;
      default:
        message.skip();
    }
  }
  return out;
}

// Span: trace_id = 1, span_id = 2, parent_span_id = 4, start = 7, end = 8, attributes = 9, dropped_attributes = 10,
// events = 11, status = 15 {code = 3}.
void read_span(pbf_reader message, const std::string& service, Batch& out) {
  Span span;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case protozero::tag_and_type(1, protozero::pbf_wire_type::length_delimited):
        span.trace_id = hex_id(message.get_view());
        break;
      case protozero::tag_and_type(2, protozero::pbf_wire_type::length_delimited):
        span.span_id = hex_id(message.get_view());
        break;
      case protozero::tag_and_type(4, protozero::pbf_wire_type::length_delimited):
        span.parent_id = hex_id(message.get_view());
        break;
      case protozero::tag_and_type(7, protozero::pbf_wire_type::fixed64):
        span.start_ns = message.get_fixed64();
        break;
      case protozero::tag_and_type(8, protozero::pbf_wire_type::fixed64):
        span.end_ns = message.get_fixed64();
        break;
      case protozero::tag_and_type(9, protozero::pbf_wire_type::length_delimited):
        read_attribute(message.get_message(), span.attributes, 0);
        break;
      case protozero::tag_and_type(10, protozero::pbf_wire_type::varint):
        span.n_dropped_attributes = message.get_uint32();
        break;
      case protozero::tag_and_type(11, protozero::pbf_wire_type::length_delimited):
        span.events.push_back(read_event(message.get_message()));
        break;
      case protozero::tag_and_type(15, protozero::pbf_wire_type::length_delimited):
        for (pbf_reader status = message.get_message(); status.next();)
          if (status.tag_and_type() == protozero::tag_and_type(3, protozero::pbf_wire_type::varint))
            span.failed = status.get_enum() == 2;
          else
            status.skip();
        break;
      default:
        message.skip();
    }
  }
  if (span.trace_id.empty() || span.span_id.empty()) {
    out.n_bad_spans += 1;
    return;
  }
  span.service = service;
  out.spans.push_back(std::move(span));
}

// LogRecord: time = 1, body = 5, attributes = 6, trace_id = 9, span_id = 10, observed_time = 11, event_name = 12.
void read_log(pbf_reader message, const std::string& service, Batch& out) {
  LogRecord log;
  uint64_t observed_ns = 0;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case protozero::tag_and_type(1, protozero::pbf_wire_type::fixed64):
        log.event.time_ns = message.get_fixed64();
        break;
      case protozero::tag_and_type(5, protozero::pbf_wire_type::length_delimited):
        log.event.body = read_any(message.get_message(), 0);
        break;
      case protozero::tag_and_type(6, protozero::pbf_wire_type::length_delimited):
        read_attribute(message.get_message(), log.event.attributes, 0);
        break;
      case protozero::tag_and_type(9, protozero::pbf_wire_type::length_delimited):
        log.trace_id = hex_id(message.get_view());
        break;
      case protozero::tag_and_type(10, protozero::pbf_wire_type::length_delimited):
        log.span_id = hex_id(message.get_view());
        break;
      case protozero::tag_and_type(11, protozero::pbf_wire_type::fixed64):
        observed_ns = message.get_fixed64();
        break;
      case protozero::tag_and_type(12, protozero::pbf_wire_type::length_delimited):
        log.event.name = text_of(message.get_view());
        break;
      default:
        message.skip();
    }
  }
  if (log.trace_id.empty() || log.span_id.empty()) {
    out.n_bad_logs += 1;
    return;
  }
  if (log.event.time_ns == 0) log.event.time_ns = observed_ns;
  log.service = service;
  out.logs.push_back(std::move(log));
}

// Resource: attributes = 1.
std::string service_of(pbf_reader resource) {
  json::object attributes;
  while (resource.next(1, protozero::pbf_wire_type::length_delimited))
    read_attribute(resource.get_message(), attributes, 0);
  return std::string(get_string(attributes, "service.name"));
}

// TracesData: resource_spans = 1 {resource = 1, scope_spans = 2 {spans = 2}}; LogsData has the same numbers.
template <class ReadItem>
std::string_view read_signal(std::string_view bytes, Batch& out, ReadItem read_item) {
  using protozero::pbf_wire_type;
  try {
    for (pbf_reader data(bytes.data(), bytes.size()); data.next(1, pbf_wire_type::length_delimited);) {
      const protozero::data_view resource = data.get_view();
      std::string service;
      pbf_reader about(resource);
      if (about.next(1, pbf_wire_type::length_delimited)) service = service_of(about.get_message());
      for (pbf_reader scopes(resource); scopes.next(2, pbf_wire_type::length_delimited);)
        for (pbf_reader items = scopes.get_message(); items.next(2, pbf_wire_type::length_delimited);)
          read_item(items.get_message(), service, out);
    }
  } catch (const protozero::exception&) {
    return "bad_otlp";
  } catch (const TooDeep&) {
    return "bad_otlp";
  }
  return {};
}

}  // namespace

std::string_view read_protobuf_traces(std::string_view bytes, Batch& out) { return read_signal(bytes, out, read_span); }
std::string_view read_protobuf_logs(std::string_view bytes, Batch& out) { return read_signal(bytes, out, read_log); }

}  // namespace slm::otel
