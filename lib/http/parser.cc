#include "http/parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <variant>

namespace slm::http {

namespace {

constexpr std::string_view kTlsHandshake = "\x16\x03";  // how a TLS record begins (RFC 8446 section 5.1)

namespace bh = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

// Beast reads a last chunk's line again from its start when more has come, and asserts that it could be whole by then.
constexpr size_t kLastChunkBytes = std::string_view("0\r\n\r\n").size();
bool begins_last_chunk(std::string_view bytes) {
  if (bytes.starts_with("\r\n")) bytes.remove_prefix(2);
  return bytes.starts_with('0');
}

constexpr size_t kMaxLineBytes = 16 << 10;  // of a chunk's line and of trailers

std::string_view view(string_view text) { return {text.data(), text.size()}; }

// Hands over what Beast reads as it reads it.
template <bool kIsRequest>
class Reader final : public bh::basic_parser<kIsRequest> {
 public:
  Head head;
  std::vector<Field> trailers;
  std::vector<std::string_view>* body = nullptr;
  bool has_head = false;

 private:
  void on_request_impl(bh::verb, string_view method, string_view target, int version, error_code&) override {
    head.method = view(method);
    head.target = view(target);
    head.minor = version % 10;
  }
  void on_response_impl(int code, string_view reason, int version, error_code&) override {
    head.status = code;
    head.reason = view(reason);
    head.minor = version % 10;
  }
  void on_field_impl(bh::field, string_view name, string_view value, error_code&) override {
    (has_head ? trailers : head.fields).push_back({std::string(view(name)), std::string(view(value))});
  }
  // Later versions of Beast tell trailers apart.
  void on_trailer_field_impl(bh::field, string_view name, string_view value, error_code&) {
    trailers.push_back({std::string(view(name)), std::string(view(value))});
  }
  void on_header_impl(error_code&) override { has_head = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view piece, error_code&) override { return keep(piece); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view piece, error_code&) override { return keep(piece); }
  void on_finish_impl(error_code&) override {}

  std::size_t keep(string_view piece) {
    if (!piece.empty()) body->push_back(view(piece));
    return piece.size();
  }
};

}  // namespace

struct MessageParser::Impl {
  std::variant<Reader<true>, Reader<false>> reader;
  size_t max_head_bytes;
  size_t searched = 0;   // of the head: bytes already looked through for its end
  bool in_line = false;  // of a chunk, and its end is missing
  Refusal refusal;

  tl::unexpected<Error> refuse(Refusal why) {
    refusal = why;
    return fail(ErrorCode::kBadInput, std::string(why.why));
  }
  template <class Visit>
  auto visit(Visit v) const {
    return std::visit(v, reader);
  }
};

MessageParser::MessageParser(Kind kind, size_t max_head_bytes) : impl_(std::make_unique<Impl>()) {
  if (kind == Kind::kResponse) impl_->reader.emplace<Reader<false>>();
  impl_->max_head_bytes = max_head_bytes;
  std::visit(
      [&](auto& r) {
        r.header_limit(static_cast<std::uint32_t>(max_head_bytes));
        r.body_limit(boost::none);
        r.eager(false);
      },
      impl_->reader);
}
MessageParser::~MessageParser() = default;
MessageParser::MessageParser(MessageParser&&) noexcept = default;
MessageParser& MessageParser::operator=(MessageParser&&) noexcept = default;

Result<size_t> MessageParser::feed(std::string_view bytes, std::vector<std::string_view>& body) {
  size_t taken = 0, limit = bytes.size();
  const bool is_request = impl_->reader.index() == 0;
  if (!has_head()) {
    // Empty lines before a request are passed over (RFC 9112 section 2.2).
    while (is_request && bytes.substr(taken).starts_with("\r\n")) taken += 2;
    const std::string_view rest = bytes.substr(taken);
    if (is_request && rest.starts_with(kTlsHandshake)) return impl_->refuse({400, "this port speaks no TLS: use http"});
    const size_t from = impl_->searched < 3 ? 0 : impl_->searched - 3;
    const size_t end = rest.find("\r\n\r\n", std::min(from, rest.size()));
    if (end == std::string_view::npos) {
      impl_->searched = rest.size();
      if (rest.size() > impl_->max_head_bytes) return impl_->refuse({431, "the header is too large"});
      // What will be refused needn't be waited for. Of a line's end one half may be missing yet.
      std::string_view whole = rest.substr(0, rest.empty() ? 0 : rest.size() - 1);
      if (whole.ends_with('\r')) whole.remove_suffix(1);
      if (is_request)
        if (const Refusal bad = check_raw_head(whole); bad.status != 0) return impl_->refuse(bad);
      if (taken > 0) impl_->searched = 0;
      return taken;
    }
    limit = taken + end + 4;  // what lies behind the head mustn't change how it is read
    if (end + 4 > impl_->max_head_bytes) return impl_->refuse({431, "the header is too large"});
    if (is_request)
      if (const Refusal bad = check_raw_head(rest.substr(0, end + 4)); bad.status != 0) return impl_->refuse(bad);
  }
  return std::visit(
      [&](auto& r) -> Result<size_t> {
        r.body = &body;
        while (taken < limit && !r.is_done()) {
          const bool had_head = r.has_head;
          if (impl_->in_line && limit - taken < kLastChunkBytes && begins_last_chunk(bytes.substr(taken))) break;
          error_code ec;
          taken += r.put(boost::asio::const_buffer(bytes.data() + taken, limit - taken), ec);
          impl_->in_line = ec == bh::error::need_more;
          if (impl_->in_line) {
            // All of the head is there (see above): what the reader misses in it won't come.
            if (!r.has_head) return impl_->refuse({400, "the message isn't well-formed HTTP/1.1"});
            // A chunk's line, or trailers, without end.
            if (bytes.size() - taken > kMaxLineBytes) return impl_->refuse({400, "a chunk's line is too long"});
            break;
          }
          if (ec == bh::error::bad_version) return impl_->refuse({505, "only HTTP/1.0 and HTTP/1.1 are spoken"});
          if (ec == bh::error::header_limit) return impl_->refuse({431, "the header is too large"});
          if (ec) return impl_->refuse({400, "the message isn't well-formed HTTP/1.1"});
          if (!had_head && r.has_head) {
            if (is_request)
              if (const Refusal bad = check_request(r.head); bad.status != 0) return impl_->refuse(bad);
            r.eager(true);
            break;
          }
        }
        return taken;
      },
      impl_->reader);
}

Status MessageParser::end_of_stream() {
  return std::visit(
      [&](auto& r) -> Status {
        if (r.is_done()) return {};
        error_code ec;
        if (r.got_some()) r.put_eof(ec);
        if (ec || !r.is_done()) return fail(ErrorCode::kBadInput, "the connection ended inside a message");
        return {};
      },
      impl_->reader);
}

void MessageParser::expect_no_body() {
  std::visit([](auto& r) { r.skip(true); }, impl_->reader);
}

bool MessageParser::has_head() const {
  return impl_->visit([](const auto& r) { return r.has_head; });
}
bool MessageParser::done() const {
  return impl_->visit([](const auto& r) { return r.is_done(); });
}
const Head& MessageParser::head() const {
  return *impl_->visit([](const auto& r) { return &r.head; });
}
Head& MessageParser::head() {
  return *std::visit([](auto& r) { return &r.head; }, impl_->reader);
}
bool MessageParser::chunked() const {
  return impl_->visit([](const auto& r) { return r.chunked(); });
}
bool MessageParser::until_close() const {
  return impl_->visit([](const auto& r) { return r.need_eof(); });
}
std::optional<uint64_t> MessageParser::content_length() const {
  return impl_->visit([](const auto& r) -> std::optional<uint64_t> {
    const auto n = r.content_length();
    if (!n) return std::nullopt;
    return *n;
  });
}
const std::vector<Field>& MessageParser::trailers() const {
  return *impl_->visit([](const auto& r) { return &r.trailers; });
}
Refusal MessageParser::refusal() const { return impl_->refusal; }

}  // namespace slm::http
