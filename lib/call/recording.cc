#include "call/recording.h"

#include <fmt/format.h>

#include <algorithm>

#include "call/dialects/normalise.h"
#include "call/dialects/recognise.h"
#include "call/stream.h"
#include "core/utf8.h"
#include "http/coding.h"
#include "http/sse.h"

namespace slm {

namespace {

using dialects::LoggedCall;

constexpr unsigned kMaxDepth = 96;  // as the importer: what is stored gets deeper, and readers stop at 128

struct Row {
  Api api;
  std::string_view name, path;
  std::unique_ptr<StreamAssembly> (*assemble)();
  std::string_view (*parse)(json::value& record, dialects::CallSink& sink);
};
constexpr Row kRows[] = {
    {Api::kChat, "chat", "/chat/completions", assemble_chat, dialects::parse_openai_chat},
    {Api::kResponses, "responses", "/responses", assemble_responses, dialects::parse_openai_responses},
    {Api::kEmbeddings, "embeddings", "/embeddings", assemble_chat, dialects::parse_openai_embeddings},
    {Api::kMessages, "messages", "/v1/messages", assemble_messages, dialects::parse_anthropic},
};

const Row* row_of(Api api) {
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) { return r.api == api; });
  return row == std::end(kRows) ? nullptr : row;
}

struct Taker final : dialects::CallSink {
  std::optional<LoggedCall> taken;
  bool call(const LoggedCall& logged) override {
    taken = logged;
    return false;
  }
  void skip(std::string_view) override {}
};

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k) word = word << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? kDigits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

// What the provider would have answered without streaming.
struct Streamed {
  json::object response;
  bool complete = false, cut = false;
  std::optional<double> ttft_ms;
};

Streamed assemble(const Row& row, std::string_view text, const Exchange& exchange, bool coded) {
  Streamed out;
  const auto assembly = row.assemble();
  const auto at = [&](uint64_t n_bytes) -> std::optional<double> {
    // Of a stream under a coding only when its first bytes came is known.
    for (const Mark& mark : exchange.marks)
      if (coded || mark.n_bytes >= n_bytes) return mark.at_ms;
    return std::nullopt;
  };
  http::SseParser parser;
  parser.feed(text, [&](const http::SseEvent& event) {
    if (event.data == "[DONE]") {
      out.complete = true;
      return;
    }
    const auto value = parse_json(event.data, kMaxDepth);
    if (!value || !value->is_object()) return;
    assembly->event(event.name, value->get_object());
    if (!out.ttft_ms && assembly->has_output()) out.ttft_ms = at(event.end);
  });
  out.cut = parser.overflow();
  out.complete = out.complete || assembly->complete();
  out.response = assembly->finish();
  return out;
}

// The label at "a.b.c" of the request.
std::string field_at(const json::object& request, std::string_view path) {
  const json::object* object = &request;
  for (;;) {
    const size_t dot = path.find('.');
    if (dot == std::string_view::npos) return dialects::read_label(object->if_contains(path));
    object = get_object(*object, path.substr(0, dot));
    if (object == nullptr) return {};
    path.remove_prefix(dot + 1);
  }
}

class Recording {
 public:
  explicit Recording(Exchange exchange) : x_(std::move(exchange)), row_(row_of(x_.api)) {}

  LoggedCall run() {
    std::optional<LoggedCall> read = readable();
    LoggedCall out = read ? std::move(*read) : undecoded();
    CallMeta& meta = out.call.meta;
    meta.time_ms = x_.time_ms;
    meta.latency_ms = x_.latency_ms;
    meta.ttft_ms = ttft_ms_;
    if (!x_.session.empty()) meta.session = x_.session;
    if (!x_.source.empty()) meta.source = x_.source;
    if (!x_.site.empty()) meta.site = x_.site;
    if (meta.provider.empty()) meta.provider = x_.provider;
    meta.flags.streamed = x_.event_stream;
    meta.flags.partial = meta.flags.partial || x_.broken;
    meta.flags.truncated = meta.flags.truncated || x_.request_cut || x_.response_cut;
    if (meta.flags.partial && out.failure.empty()) out.failure = "partial";
    meta.flags.failed = !out.failure.empty();
    return out;
  }

 private:
  std::optional<LoggedCall> readable() {
    if (row_ == nullptr || x_.request_cut) return std::nullopt;
    const auto text = http::decode(x_.request_coding, x_.request, {.max_bytes = kMaxDecodedBytes});
    if (!text) return std::nullopt;
    auto request = parse_json(*text, kMaxDepth);
    if (!request || !request->is_object()) return std::nullopt;
    if (!x_.session_field.empty() && x_.session.empty()) x_.session = field_at(request->get_object(), x_.session_field);
    json::object record{{"request", std::move(*request)}};
    auto response = read_response();
    if (!response) return std::nullopt;
    record.emplace("response", std::move(*response));
    json::value value(std::move(record));
    Taker taker;
    if (!row_->parse(value, taker).empty() || !taker.taken) return std::nullopt;
    taker.taken->call.meta.flags.partial = partial_;
    return std::move(taker.taken);
  }

  // null: nothing came; no value: it can't be read.
  std::optional<json::value> read_response() {
    if (x_.status == 0) return json::value();
    const bool cut = x_.broken || x_.response_cut;
    auto text = http::decode(x_.response_coding, x_.response, {.max_bytes = kMaxDecodedBytes, .partial = cut});
    if (!text) return std::nullopt;
    const bool coded = !x_.response_coding.empty();
    if (x_.event_stream) {
      Streamed streamed = assemble(*row_, *text, x_, coded);
      ttft_ms_ = streamed.ttft_ms;
      partial_ = !streamed.complete && !streamed.response.contains("error");
      x_.response_cut = x_.response_cut || streamed.cut;
      return with_status(std::move(streamed.response));
    }
    if (cut) {
      // Half a document says nothing; that an answer broke off does.
      if (!x_.response_cut) return json::value();
      return std::nullopt;
    }
    auto value = parse_json(*text, kMaxDepth);
    if (!value) {
      if (x_.status >= 400) return json::object{{"status_code", x_.status}};
      return std::nullopt;
    }
    return with_status(std::move(*value));
  }

  json::value with_status(json::value response) const {
    if (x_.status < 400) return response;
    return json::object{{"status_code", x_.status}, {"body", std::move(response)}};
  }

  LoggedCall undecoded() const {
    LoggedCall out;
    out.call.meta.flags.undecoded = true;
    if (x_.api == Api::kEmbeddings) out.call.meta.operation = "embeddings";
    json::object& extra = out.call.body.extra;
    extra.emplace("raw_request", base64(x_.request));
    extra.emplace("raw_response", base64(x_.response));
    for (const auto& [key, coding] :
         {std::pair("request_coding", &x_.request_coding), {"response_coding", &x_.response_coding}})
      if (!coding->empty()) extra.emplace(key, is_utf8(*coding) ? *coding : "?");
    extra.emplace("status", x_.status);
    out.failure = "undecoded";
    return out;
  }

  Exchange x_;
  const Row* row_;
  std::optional<double> ttft_ms_;
  bool partial_ = false;
};

}  // namespace

std::string_view api_name(Api api) {
  const Row* row = row_of(api);
  return row == nullptr ? "unrecorded" : row->name;
}

Api api_of(std::string_view method, std::string_view target) {
  if (method != "POST") return Api::kNone;
  const std::string_view path = target.substr(0, target.find('?'));
  for (const Row& row : kRows)
    if (path.ends_with(row.path)) return row.api;
  return Api::kNone;
}

LoggedCall record_call(Exchange exchange) { return Recording(std::move(exchange)).run(); }

}  // namespace slm
