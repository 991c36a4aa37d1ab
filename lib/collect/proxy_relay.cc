#include "collect/proxy_relay.h"

#include <fmt/format.h>

#include <chrono>

#include "collect/proxy_inbox.h"
#include "collect/proxy_routes.h"
#include "core/hash.h"
#include "http/parser.h"

namespace slm::collect {

namespace {

using http::Channel;
using http::ChannelPtr;
using http::Head;
using http::IoEnd;
using http::MessageParser;

constexpr size_t kReadBytes = 16 << 10;
constexpr double kIdleUpstream_s = 4;  // common servers end idle connections after 5 s
constexpr size_t kMaxIdle = 256, kMaxMarks = 1024;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
int64_t wall_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string error_body(std::string_view message) {
  return fmt::format("{{\"error\":{{\"message\":\"slmconv: {}\",\"type\":\"proxy_error\",\"code\":null}}}}\n", message);
}

}  // namespace

class Relay : public std::enable_shared_from_this<Relay> {
 public:
  Relay(RelayLoop& home, ChannelPtr client) : home_(home), core_(home.core), client_(std::move(client)) {
    home_.relays.insert(this);
    ++core_.counts.connections;
    ++core_.counts.open_connections;
  }
  ~Relay() {
    home_.relays.erase(this);
    --core_.counts.open_connections;
  }

  void start() {
    client_->set_timeout(core_.options.head_s);
    next_request();
  }
  void drain() {
    if (turn_ == nullptr && !head_begun_) client_->close();
  }
  void abort() {
    if (turn_ != nullptr) fail_turn(*turn_, "ended");
    client_->abort();
  }

 private:
  // One request and its answer.
  struct Turn {
    size_t upstream_i = 0;
    bool is_head = false, wants_close = false, client_is_1_0 = false;
    std::string request_out;  // to be written to the provider
    bool request_chunked = false, request_over = false, request_writing = false;
    ChannelPtr upstream;
    bool upstream_fresh = false;
    MessageParser response{MessageParser::Kind::kResponse, 256 << 10};
    Inbox in;
    std::string out;        // to be written to the client
    bool answered = false;  // bytes of the answer went to the client
    bool response_head = false, response_chunked = false, response_until_close = false;
    bool over = false;
    // Recording.
    bool recorded = false;
    Exchange exchange;
    double begun_s = 0;
    int64_t kept = 0, response_bytes = 0;
  };
  using TurnPtr = std::shared_ptr<Turn>;

  // --- the client's requests

  void next_request() {
    turn_ = nullptr;
    request_ = MessageParser(MessageParser::Kind::kRequest, core_.options.max_head_bytes);
    head_begun_ = false;
    if (!inbox_.empty()) return read_head();
    inbox_.shrink();
    if (core_.draining) return client_->close();
    if (n_requests_ > 0) client_->set_timeout(core_.options.idle_s);
    read_client();
  }

  void read_client() {
    if (reading_) return;
    reading_ = true;
    const size_t room = turn_ == nullptr && !head_begun_ ? 2048 : kReadBytes;
    client_->read(inbox_.room(room), [self = shared_from_this(), this](IoEnd end, size_t n) {
      reading_ = false;
      inbox_.added(n);
      on_client(end);
    });
  }

  void on_client(IoEnd end) {
    if (closing_) return;
    if (turn_ == nullptr) {
      if (end == IoEnd::kOk) return read_head();
      if (end == IoEnd::kTimedOut) ++core_.counts.refused;
      return client_->close();
    }
    if (end != IoEnd::kOk) {
      ++core_.counts.clients_gone;
      fail_turn(*turn_, "client");
      return client_->close();
    }
    if (!turn_->request_over) pump_request(turn_);
  }

  void read_head() {
    if (!head_begun_) {
      head_begun_ = true;
      client_->set_timeout(core_.options.head_s);
    }
    std::vector<std::string_view> none;
    const auto taken = request_.feed(inbox_.view(), none);
    if (!taken) return refuse(request_.refusal());
    inbox_.take(*taken);
    if (!request_.has_head()) return read_client();
    client_->set_timeout(0);
    ++n_requests_;
    ++core_.counts.requests;
    begin_turn();
  }

  void refuse(http::Refusal refusal) {
    ++core_.counts.refused;
    answer(refusal.status, refusal.why);
  }

  // An answer of our own; ends the connection.
  void answer(int status, std::string_view why, std::string_view field = {}) {
    const std::string body = error_body(why);
    Head head;
    head.status = status;
    head.reason = http::reason_phrase(status);
    head.fields = {
        {"Content-Type", "application/json"}, {"Content-Length", std::to_string(body.size())}, {"Connection", "close"}};
    if (!field.empty()) head.fields.push_back({"Proxy-Authenticate", std::string(field)});
    std::string out;
    http::append_response(out, head);
    out += body;
    closing_ = true;
    client_->set_timeout(core_.options.head_s);
    client_->write(std::move(out), [self = shared_from_this(), this](IoEnd, size_t) { client_->close(); });
  }

  bool has_token(const Head& head) const {
    if (core_.tokens.empty()) return true;
    std::string_view given = http::value_of(head, "Proxy-Authorization");
    if (given.size() < 7 || !http::same_name(given.substr(0, 7), "Bearer ")) return false;
    // Digests are compared, so that the time it takes says nothing of the tokens.
    const std::string digest = sha256_hex(given.substr(7));
    return std::find(core_.tokens.begin(), core_.tokens.end(), digest) != core_.tokens.end();
  }

  void begin_turn() {
    const Head& head = request_.head();
    if (!has_token(head)) {
      ++core_.counts.unauthenticated;
      return answer(407, "this proxy needs a bearer token of its own", "Bearer");
    }
    if (http::has_token(head, "Upgrade", "websocket")) return refuse({501, "WebSocket isn't passed on"});
    const auto& upstreams = core_.options.upstreams;
    const size_t best = upstream_of(upstreams, head.target);
    if (best == upstreams.size()) return refuse({404, "no upstream serves this path"});

    turn_ = std::make_shared<Turn>();
    Turn& turn = *turn_;
    turn.upstream_i = best;
    turn.begun_s = now_s();
    turn.is_head = head.method == "HEAD";
    turn.client_is_1_0 = head.minor < 1;
    turn.wants_close = !http::keeps_alive(head);
    turn.request_chunked = request_.chunked();
    ++core_.counts.open_requests;
    const Upstream& upstream = upstreams[best];
    Head sent = to_upstream(head, upstream);
    if (turn.request_chunked) sent.fields.push_back({"Transfer-Encoding", "chunked"});
    http::append_request(turn.request_out, sent);
    if (turn.is_head) turn.response.expect_no_body();

    const TurnPtr kept = turn_;
    if (!wants_record(turn, head, sent.target)) return connect(kept);
    if (!core_.recorder.admits()) return turn_away();
    // The recorder lets go of it on a thread of its own.
    auto held = http::held_for(home_.loop, shared_from_this(), kept);
    const bool now = core_.recorder.begin([held = std::move(held), this, asked = kept.get()](bool may) {
      home_.loop.post([held, this, asked, may] {
        if (turn_.get() != asked) return;  // the client is gone: what came of the call is with the recorder
        if (may) return connect(TurnPtr(turn_));
        core_.recorder.take_back();
        turn_away();
      });
    });
    if (now) connect(kept);
  }

  // Nothing of the request went to the provider.
  void turn_away() {
    ++core_.counts.turned_away;
    --core_.counts.open_requests;
    turn_ = nullptr;
    answer(503, "the store takes no calls, and none is to go unrecorded");
  }

  bool wants_record(Turn& turn, const Head& head, std::string_view target) {
    const Api api = api_of(head.method, target);
    if (api == Api::kNone) {
      ++core_.counts.unrecorded;
      return false;
    }
    for (const std::string& route : core_.options.human_routes)
      if (below(head.target, route)) {
        ++core_.counts.excluded;
        return false;
      }
    turn.recorded = true;
    Exchange& x = turn.exchange;
    const ProxyOptions& o = core_.options;
    const auto label = [&](const std::string& name) {
      return name.empty() ? std::string() : std::string(http::value_of(head, name).substr(0, 256));
    };
    x.api = api;
    x.time_ms = wall_ms();
    x.request_coding = http::value_of(head, "Content-Encoding");
    x.session = label(o.session_header);
    x.site = label(o.site_header);
    x.source = label(o.source_header);
    if (x.source.empty()) x.source = client_->peer_name();
    x.session_field = o.session_field;
    x.provider = provider_of(o.upstreams[turn.upstream_i].url.host);
    return true;
  }

  // --- to the provider

  void connect(const TurnPtr& turn) {
    auto& idle = home_.idle[turn->upstream_i];
    while (!idle.empty()) {
      RelayLoop::Idle candidate = std::move(idle.back());
      idle.pop_back();
      if (now_s() - candidate.since_s < kIdleUpstream_s && candidate.channel->is_quiet()) {
        turn->upstream = std::move(candidate.channel);
        return connected(turn);
      }
      candidate.channel->close();
    }
    home_.dialers[turn->upstream_i]->dial([self = shared_from_this(), this, turn](Result<ChannelPtr> channel) {
      if (turn_ != turn) {
        if (channel) (*channel)->close();
        return;
      }
      if (!channel) {
        ++core_.counts.upstream_failures;
        return bad_gateway(*turn, "the upstream can't be reached: " + channel.error().message);
      }
      turn->upstream = std::move(*channel);
      connected(turn);
    });
  }

  void connected(const TurnPtr& turn) {
    pump_request(turn);
    if (turn_ == turn) read_upstream(turn);
  }

  // Sends on what came of the request, one write at a time.
  void pump_request(const TurnPtr& turn) {
    if (turn->upstream == nullptr || turn->request_writing || turn->request_over) return;
    std::vector<std::string_view> pieces;
    while (!request_.done() && !inbox_.empty()) {
      pieces.clear();
      const auto taken = request_.feed(inbox_.view(), pieces);
      if (!taken) {
        fail_turn(*turn, "request");
        return refuse(request_.refusal());
      }
      for (const auto piece : pieces) {
        core_.counts.request_bytes += static_cast<int64_t>(piece.size());
        keep(*turn, turn->exchange.request, turn->exchange.request_cut, piece);
        if (turn->request_chunked)
          append_chunk(turn->request_out, piece);
        else
          turn->request_out += piece;
      }
      inbox_.take(*taken);
      if (*taken == 0) break;
    }
    const bool last = is_request_over();
    if (last && turn->request_chunked) append_last_chunk(turn->request_out, request_.trailers());
    if (turn->request_out.empty()) {
      if (last) return request_over(turn);
      client_->set_timeout(core_.options.body_s);
      return read_client();
    }
    turn->request_writing = true;
    turn->upstream->set_timeout(core_.options.upstream_s);
    turn->upstream->write(std::exchange(turn->request_out, {}),
                          [self = shared_from_this(), this, turn, last](IoEnd end, size_t) {
                            turn->request_writing = false;
                            if (turn_ != turn) return;
                            // A provider that takes no more may have answered already: reading finds out.
                            if (end != IoEnd::kOk) return;
                            if (last) return request_over(turn);
                            if (!inbox_.empty()) return pump_request(turn);
                            client_->set_timeout(core_.options.body_s);
                            read_client();
                          });
  }

  // A request without a body is over with its head.
  bool is_request_over() const {
    return request_.done() || (!request_.chunked() && request_.content_length().value_or(0) == 0);
  }

  void request_over(const TurnPtr& turn) {
    turn->request_over = true;
    client_->set_timeout(0);
    // A client that goes away ends the request at the provider too.
    if (inbox_.empty()) read_client();
  }

  // --- back to the client

  void read_upstream(const TurnPtr& turn) {
    turn->upstream->set_timeout(core_.options.upstream_s);
    turn->upstream->read(turn->in.room(kReadBytes), [self = shared_from_this(), this, turn](IoEnd end, size_t n) {
      if (turn_ != turn) return;
      turn->in.added(n);
      on_upstream(turn, end);
    });
  }

  void on_upstream(const TurnPtr& turn, IoEnd end) {
    if (end != IoEnd::kOk) {
      const bool ended = end == IoEnd::kClosed && turn->response_head && turn->response.end_of_stream().has_value();
      if (!ended) return upstream_broke(turn, end);
    }
    std::vector<std::string_view> pieces;
    while (!turn->response.done() && !turn->in.empty()) {
      pieces.clear();
      const auto taken = turn->response.feed(turn->in.view(), pieces);
      if (!taken) return upstream_broke(turn, IoEnd::kFailed);
      for (const auto piece : pieces) body_piece(*turn, piece);
      turn->in.take(*taken);
      if (!turn->response_head && turn->response.has_head() && !response_head(turn)) return;
      if (*taken == 0) break;
    }
    const bool over = turn->response_head && turn->response.done();
    if (over && turn->response_chunked) append_last_chunk(turn->out, turn->response.trailers());
    if (!over) return write_client(turn);
    turn->over = true;
    if (turn->recorded && core_.recorder.options().durability == Durability::kDurable) return commit_then_write(turn);
    write_client(turn);
    if (turn->recorded) hand_over(*turn, {});
  }

  void body_piece(Turn& turn, std::string_view piece) {
    core_.counts.response_bytes += static_cast<int64_t>(piece.size());
    turn.response_bytes += static_cast<int64_t>(piece.size());
    if (turn.recorded) {
      keep(turn, turn.exchange.response, turn.exchange.response_cut, piece);
      if (turn.exchange.marks.size() < kMaxMarks)
        turn.exchange.marks.push_back({static_cast<uint64_t>(turn.response_bytes), (now_s() - turn.begun_s) * 1e3});
    }
    if (turn.response_chunked)
      append_chunk(turn.out, piece);
    else
      turn.out += piece;
  }

  // The answer's head as the client gets it. False: the turn is over, it can't be passed on.
  bool response_head(const TurnPtr& turn) {
    Head& head = turn->response.head();
    const bool informational = head.status >= 100 && head.status < 200;
    if (head.status == 101) {
      upstream_broke(turn, IoEnd::kFailed);
      return false;
    }
    const bool chunked = turn->response.chunked();
    const bool until_close = !informational && turn->response.until_close() && !turn->is_head;
    const bool reusable = http::keeps_alive(head);
    http::drop_hop_by_hop(head);
    if (informational) {
      if (!turn->client_is_1_0) http::append_response(turn->out, head);
      turn->response = MessageParser(MessageParser::Kind::kResponse, 256 << 10);
      if (turn->is_head) turn->response.expect_no_body();
      return true;
    }
    turn->response_head = true;
    turn->response_chunked = chunked && !turn->client_is_1_0 && !turn->is_head;
    turn->response_until_close = until_close || !reusable;
    if (chunked && !turn->client_is_1_0) head.fields.push_back({"Transfer-Encoding", "chunked"});
    if (until_close || (chunked && turn->client_is_1_0) || core_.draining) turn->wants_close = true;
    if (turn->wants_close) head.fields.push_back({"Connection", "close"});
    if (turn->recorded) {
      turn->exchange.status = head.status;
      turn->exchange.response_coding = http::value_of(head, "Content-Encoding");
      turn->exchange.event_stream = http::value_of(head, "Content-Type").starts_with("text/event-stream");
    }
    http::append_response(turn->out, head);
    return true;
  }

  void write_client(const TurnPtr& turn) {
    if (turn->out.empty()) {
      if (turn->over) return end_turn(turn);
      return read_upstream(turn);
    }
    turn->answered = turn->answered || turn->response_head;
    turn->upstream->set_timeout(0);
    client_->set_timeout(core_.options.stall_s);
    client_->write(std::exchange(turn->out, {}), [self = shared_from_this(), this, turn](IoEnd end, size_t) {
      if (turn_ != turn) return;
      client_->set_timeout(turn->request_over ? 0 : core_.options.body_s);
      if (end != IoEnd::kOk) {
        ++core_.counts.clients_gone;
        fail_turn(*turn, "client");
        return client_->close();
      }
      if (turn->over) return end_turn(turn);
      read_upstream(turn);
    });
  }

  // The last bytes wait until the call is in the store.
  void commit_then_write(const TurnPtr& turn) {
    turn->upstream->set_timeout(0);
    auto held = http::held_for(home_.loop, shared_from_this(), turn);
    hand_over(*turn, [held = std::move(held), this, asked = turn.get()](bool committed) {
      home_.loop.post([held, this, asked, committed] {
        if (turn_.get() != asked) return;
        if (committed) return write_client(TurnPtr(turn_));
        fail_turn(*asked, "store");
        client_->abort();
      });
    });
  }

  void end_turn(const TurnPtr& turn) {
    const bool reusable = !turn->response_until_close && turn->request_over && turn->in.empty() && !core_.draining;
    if (reusable && turn->upstream->is_open() && home_.idle[turn->upstream_i].size() < kMaxIdle) {
      turn->upstream->set_timeout(0);
      home_.idle[turn->upstream_i].push_back({turn->upstream, now_s()});
    } else {
      turn->upstream->close();
    }
    const bool close = turn->wants_close || !turn->request_over;
    --core_.counts.open_requests;
    turn_ = nullptr;
    if (close) return client_->close();
    next_request();
  }

  // --- what goes wrong

  void upstream_broke(const TurnPtr& turn, IoEnd end) {
    if (!turn->answered) {
      ++core_.counts.upstream_failures;
      constexpr std::string_view kTlsAlert = "\x15\x03";
      if (turn->in.view().starts_with(kTlsAlert))
        return bad_gateway(*turn, "the upstream speaks TLS: its URL begins with https, not http");
      return bad_gateway(*turn,
                         end == IoEnd::kTimedOut ? "the upstream didn't answer in time" : "the upstream gave no answer",
                         end == IoEnd::kTimedOut ? 504 : 502);
    }
    ++core_.counts.upstream_broken;
    // What came goes to the client first, then it sees that more should have.
    std::string rest = std::exchange(turn->out, {});
    fail_turn(*turn, "upstream");
    closing_ = true;
    if (rest.empty()) return client_->abort();
    client_->set_timeout(core_.options.stall_s);
    client_->write(std::move(rest), [self = shared_from_this(), this](IoEnd, size_t) { client_->abort(); });
  }

  void bad_gateway(Turn& turn, std::string_view why, int status = 502) {
    fail_turn(turn, "upstream");
    answer(status, why);
  }

  // Ends the turn without its answer's end; what was recorded of it is kept as partial.
  void fail_turn(Turn& turn, std::string_view) {
    if (turn_.get() != &turn) return;
    const TurnPtr kept = std::move(turn_);
    turn_ = nullptr;
    if (turn.upstream != nullptr) turn.upstream->abort();
    if (turn.recorded && !turn.over) {
      turn.exchange.broken = true;
      hand_over(turn, {});
    }
    --core_.counts.open_requests;
  }

  // --- recording

  void keep(Turn& turn, std::string& body, bool& cut, std::string_view piece) {
    if (!turn.recorded || cut) return;
    const int64_t limit = core_.recorder.options().max_call_bytes - turn.kept;
    auto n = std::min(static_cast<int64_t>(piece.size()), limit);
    if (n < static_cast<int64_t>(piece.size())) cut = true;
    if (n > 0 && !core_.recorder.reserve(n)) {
      cut = true;
      n = 0;
    }
    turn.kept += n;
    body.append(piece.substr(0, static_cast<size_t>(n)));
  }

  void hand_over(Turn& turn, std::function<void(bool)> committed) {
    turn.exchange.latency_ms = (now_s() - turn.begun_s) * 1e3;
    turn.recorded = false;
    core_.recorder.finish(std::move(turn.exchange), std::move(committed));
  }

  RelayLoop& home_;
  ProxyCore& core_;
  const ChannelPtr client_;
  Inbox inbox_;
  MessageParser request_{MessageParser::Kind::kRequest};
  TurnPtr turn_;
  bool reading_ = false, head_begun_ = false, closing_ = false;
  int64_t n_requests_ = 0;
};

void serve_connection(RelayLoop& loop, ChannelPtr client) { std::make_shared<Relay>(loop, std::move(client))->start(); }

void drain_connections(RelayLoop& loop) {
  for (auto& idle : loop.idle) {
    for (auto& one : idle) one.channel->close();
    idle.clear();
  }
  const std::vector<Relay*> relays(loop.relays.begin(), loop.relays.end());
  for (Relay* relay : relays) relay->drain();
}

void abort_connections(RelayLoop& loop) {
  const std::vector<Relay*> relays(loop.relays.begin(), loop.relays.end());
  for (Relay* relay : relays) relay->abort();
}

}  // namespace slm::collect
