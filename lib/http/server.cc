#include "http/server.h"

#include "http/coding.h"
#include "http/parser.h"

namespace slm::http {

namespace {

struct Shared {
  ServerOptions options;
  Handler handler;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<const Shared> shared, ChannelPtr channel)
      : shared_(std::move(shared)), channel_(std::move(channel)), parser_(new_parser()) {}

  void start() {
    channel_->set_timeout(shared_->options.head_s);
    read();
  }

 private:
  MessageParser new_parser() const {
    return MessageParser(MessageParser::Kind::kRequest, shared_->options.max_head_bytes);
  }

  void read() {
    constexpr size_t kReadBytes = 16 << 10;
    const size_t before = in_.size();
    in_.resize(before + kReadBytes);
    channel_->read({in_.data() + before, kReadBytes}, [self = shared_from_this(), this, before](IoEnd end, size_t n) {
      in_.resize(before + n);
      if (end != IoEnd::kOk) return channel_->close();
      parse();
    });
  }

  void parse() {
    std::vector<std::string_view> pieces;
    size_t used = 0;
    while (used < in_.size() && !is_over()) {
      pieces.clear();
      const bool had_head = parser_.has_head();
      const auto taken = parser_.feed(std::string_view(in_).substr(used), pieces);
      if (!taken) return refuse(parser_.refusal());
      used += *taken;
      for (const auto piece : pieces) body_ += piece;
      if (body_.size() > shared_->options.max_body_bytes ||
          (parser_.has_head() && parser_.content_length().value_or(0) > shared_->options.max_body_bytes))
        return refuse({413, "the body is too large"});
      if (!had_head && parser_.has_head()) {
        channel_->set_timeout(shared_->options.body_s);
        if (same_name(value_of(parser_.head(), "Expect"), "100-continue") && !is_over()) {
          in_.erase(0, used);
          return write("HTTP/1.1 100 Continue\r\n\r\n", [this] { parse_or_read(); });
        }
      } else if (*taken == 0) {
        break;
      }
    }
    in_.erase(0, used);
    if (!is_over()) return read();
    handle();
  }
  void parse_or_read() { in_.empty() ? read() : parse(); }

  bool is_over() const {
    return parser_.has_head() && (parser_.done() || (!parser_.chunked() && parser_.content_length().value_or(0) == 0));
  }

  void handle() {
    channel_->set_timeout(0);
    const std::string_view codings = value_of(parser_.head(), "Content-Encoding");
    if (!codings.empty()) {
      auto decoded = decode(codings, body_, {.max_bytes = shared_->options.max_decoded_bytes});
      if (!decoded) return refuse({400, "the body can't be decoded, or is too large"});
      body_ = std::move(*decoded);
    }
    keeps_ = keeps_alive(parser_.head());
    is_head_ = parser_.head().method == "HEAD";
    Request request{std::move(parser_.head()), std::exchange(body_, {}), channel_->peer_name()};
    parser_ = new_parser();
    Loop& loop = channel_->loop();
    shared_->handler(std::move(request), [held = held_for(loop, shared_from_this()), this, &loop](Response response) {
      loop.post([held, this, response = std::move(response)] { send(response); });
    });
  }

  void refuse(Refusal refusal) {
    keeps_ = false;
    Response response;
    response.status = refusal.status;
    response.body = std::string(refusal.why) + "\n";
    send(response);
  }

  void send(const Response& response) {
    Head head;
    head.status = response.status;
    head.reason = reason_phrase(response.status);
    head.fields = response.fields;
    head.fields.push_back({"Content-Type", response.content_type});
    head.fields.push_back({"Content-Length", std::to_string(response.body.size())});
    if (!keeps_) head.fields.push_back({"Connection", "close"});
    std::string out;
    append_response(out, head);
    if (!is_head_) out += response.body;
    write(std::move(out), [this] {
      if (!keeps_) return channel_->close();
      channel_->set_timeout(shared_->options.idle_s);
      parse_or_read();
    });
  }

  void write(std::string bytes, std::function<void()> then) {
    channel_->set_timeout(shared_->options.body_s);
    channel_->write(std::move(bytes), [self = shared_from_this(), this, then = std::move(then)](IoEnd end, size_t) {
      if (end != IoEnd::kOk) return channel_->close();
      then();
    });
  }

  const std::shared_ptr<const Shared> shared_;
  const ChannelPtr channel_;
  MessageParser parser_;
  std::string in_, body_;
  bool keeps_ = true, is_head_ = false;
};

class ServerImpl final : public Server {
 public:
  explicit ServerImpl(std::shared_ptr<Listener> listener) : listener_(std::move(listener)) {}
  uint16_t port() const override { return listener_->port(); }
  void stop() override { listener_->stop(); }

 private:
  std::shared_ptr<Listener> listener_;
};

}  // namespace

Result<std::shared_ptr<Server>> Server::open(Loops& loops, ServerOptions options, Handler handler) {
  auto shared = std::make_shared<const Shared>(Shared{std::move(options), std::move(handler)});
  SLM_TRY(auto listener, Listener::open(loops, shared->options.listen, [shared](ChannelPtr channel) {
            std::make_shared<Connection>(shared, std::move(channel))->start();
          }));
  return std::shared_ptr<Server>(std::make_shared<ServerImpl>(std::move(listener)));
}

}  // namespace slm::http
