#include <algorithm>
#include <charconv>

#include "call/ascii.h"
#include "call/otel.h"

namespace slm::otel {

namespace {

// 64-bit integers come as text or as numbers.
uint64_t read_uint(const json::object& object, std::string_view key) {
  const auto* v = object.if_contains(key);
  if (v == nullptr) return 0;
  if (v->is_uint64()) return v->get_uint64();
  if (v->is_int64()) return v->get_int64() < 0 ? 0 : static_cast<uint64_t>(v->get_int64());
  uint64_t n = 0;
  if (const auto* text = v->if_string()) std::from_chars(text->data(), text->data() + text->size(), n);
  return n;
}

std::string read_id(const json::object& object, std::string_view key) {
  std::string id(get_string(object, key));
  std::transform(id.begin(), id.end(), id.begin(), ascii_lower);
  return id.find_first_not_of('0') == std::string::npos ? std::string() : id;
}

json::object read_attributes(const json::object& object, std::string_view key);

// {"stringValue": …} and its like. Depth is bounded by the document's own.
json::value read_any(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr || object->empty()) return nullptr;
  for (const auto& item : *object) {
    const std::string_view key = item.key();
    const json::value& v = item.value();
    if (key == "stringValue" || key == "boolValue" || key == "bytesValue") return v;
    if (key == "doubleValue") return v.is_number() ? v : json::value();  // "NaN", "Infinity"
    if (key == "intValue") {
      if (!v.is_string()) return v;
      int64_t n = 0;
      const auto& text = v.get_string();
      return std::from_chars(text.data(), text.data() + text.size(), n).ec == std::errc() ? json::value(n)
                                                                                          : json::value();
    }
    if (key == "arrayValue") {
      json::array out;
      if (const auto* inner = v.if_object())
        if (const auto* list = get_array(*inner, "values"))
          for (const auto& element : *list) out.push_back(read_any(element));
      return out;
    }
    if (key == "kvlistValue") return v.is_object() ? read_attributes(v.get_object(), "values") : json::object();
  }
  return nullptr;
}

json::object read_attributes(const json::object& object, std::string_view key) {
  json::object out;
  if (const auto* list = get_array(object, key))
    for (const auto& item : *list) {
      const auto* pair = item.if_object();
      if (pair == nullptr) continue;
      const auto* value = pair->if_contains("value");
      const std::string_view name = get_string(*pair, "key");
      if (value != nullptr && !name.empty()) out.insert_or_assign(name, read_any(*value));
    }
  return out;
}

Event read_event(const json::object& object, std::string_view name_key) {
  Event out;
  out.name = get_string(object, name_key);
  out.time_ns = read_uint(object, "timeUnixNano");
  out.attributes = read_attributes(object, "attributes");
  return out;
}

void read_span(const json::object& object, const std::string& service, Batch& out) {
  Span span;
  span.trace_id = read_id(object, "traceId");
  span.span_id = read_id(object, "spanId");
  if (span.trace_id.empty() || span.span_id.empty()) {
    out.n_bad_spans += 1;
    return;
  }
  span.parent_id = read_id(object, "parentSpanId");
  span.service = service;
  span.start_ns = read_uint(object, "startTimeUnixNano");
  span.end_ns = read_uint(object, "endTimeUnixNano");
  span.attributes = read_attributes(object, "attributes");
  span.n_dropped_attributes = read_uint(object, "droppedAttributesCount");
  if (const auto* status = get_object(object, "status")) span.failed = get_int(*status, "code") == 2;
  if (const auto* events = get_array(object, "events"))
    for (const auto& event : *events)
      if (event.is_object()) span.events.push_back(read_event(event.get_object(), "name"));
  out.spans.push_back(std::move(span));
}

void read_log(const json::object& object, const std::string& service, Batch& out) {
  LogRecord log;
  log.trace_id = read_id(object, "traceId");
  log.span_id = read_id(object, "spanId");
  if (log.trace_id.empty() || log.span_id.empty()) {
    out.n_bad_logs += 1;
    return;
  }
  log.service = service;
  log.event = read_event(object, "eventName");
  if (log.event.time_ns == 0) log.event.time_ns = read_uint(object, "observedTimeUnixNano");
  if (const auto* body = object.if_contains("body")) log.event.body = read_any(*body);
  out.logs.push_back(std::move(log));
}

struct Signal {
  std::string_view resources, scopes, items;
  void (*read)(const json::object& object, const std::string& service, Batch& out);
};
constexpr Signal kSignals[] = {{"resourceSpans", "scopeSpans", "spans", read_span},
                               {"resourceLogs", "scopeLogs", "logRecords", read_log}};

// Calls `f` with each object of the list; false where the list or an element of it is none.
template <class F>
bool each_object(const json::object& object, std::string_view key, F f) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return true;
  const auto* list = value->if_array();
  if (list == nullptr) return false;
  for (const auto& item : *list)
    if (!item.is_object() || !f(item.get_object())) return false;
  return true;
}

bool read_signal(const json::object& record, const Signal& signal, Batch& out) {
  return each_object(record, signal.resources, [&](const json::object& resource) {
    std::string service;
    if (const auto* about = get_object(resource, "resource"))
      service = get_string(read_attributes(*about, "attributes"), "service.name");
    return each_object(resource, signal.scopes, [&](const json::object& scope) {
      return each_object(scope, signal.items, [&](const json::object& item) {
        signal.read(item, service, out);
        return true;
      });
    });
  });
}

}  // namespace

std::string_view read_json(const json::value& record, Batch& out) {
  const auto* object = record.if_object();
  if (object == nullptr) return "bad_otlp";
  bool any = false;
  for (const Signal& signal : kSignals) {
    any = any || object->contains(signal.resources);
    if (!read_signal(*object, signal, out)) return "bad_otlp";
  }
  return any || object->empty() ? "" : "bad_otlp";
}

}  // namespace slm::otel
