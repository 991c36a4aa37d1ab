// Both ends of the proxy's benchmark: a provider that answers at once, and clients at a fixed rate.
//
//   proxy_load mock PORT                  chat completions: whole answers at once; streams of a chunk every 100 ms,
//   each
//                                         with the time it was sent; POST /bulk answers with as many bytes as its body
//                                         says
//   proxy_load run PORT key=value...      rate= requests a second (scheduled, not waiting for answers: a late answer
//                                         delays no other request), streams= open at a time, seconds=, connections=
//                                         further ones that stay open and idle, stall=1 opens one that never reads
//   proxy_load bulk PORT BYTES            reads one large answer
//   proxy_load count PORT FILE seconds=   closed loop; appends to FILE, unbuffered, a line per answer that came whole
//   proxy_load stored STORE KEYS          the first message of every raw call, one a line (reads as the curator)
//   proxy_load bodies STORE KEYS          the whole body of every raw call, one a line
// Times are taken with the same clock on both ends; "run" checks every answer's bytes and prints one line of JSON.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "call/call.h"
#include "http/net.h"
#include "http/parser.h"
#include "store/store.h"

namespace {

using namespace slm::http;
using slm::Result;

constexpr int kChunks = 50;
constexpr double kChunk_s = 0.1;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string ask(bool stream) {
  // About what an agent's call is: 4 KB of prompt.
  return fmt::format(
      R"({{"model":"bench","stream":{},"messages":[{{"role":"system","content":"{}"}},{{"role":"user","content":"go on"}}]}})",
      stream, std::string(4096, 'p'));
}
const std::string kAnswer = fmt::format(
    R"({{"id":"b","object":"chat.completion","created":1772438400,"model":"bench","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":900,"completion_tokens":200}}}})",
    std::string(1024, 'a'));

std::string post(std::string_view path, const std::string& body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", path,
      body.size(), body);
}

// --- the provider

class MockConnection : public std::enable_shared_from_this<MockConnection> {
 public:
  explicit MockConnection(ChannelPtr channel) : channel_(std::move(channel)) {}
  void read() {
    channel_->read(buffer_, [self = shared_from_this(), this](IoEnd end, size_t n) {
      if (end != IoEnd::kOk) return channel_->close();
      in_.append(buffer_, n);
      parse();
    });
  }

 private:
  void parse() {
    while (!in_.empty() && !parser_.done()) {
      std::vector<std::string_view> pieces;
      const auto taken = parser_.feed(in_, pieces);
      if (!taken) return channel_->close();
      for (const auto piece : pieces) body_ += piece;
      in_.erase(0, *taken);
      if (*taken == 0) break;
    }
    if (!parser_.done()) return read();
    const bool bulk = parser_.head().target == "/bulk", stream = body_.find("\"stream\":true") != std::string::npos;
    const int64_t n_bytes = bulk ? std::atoll(body_.c_str()) : 0;
    parser_ = MessageParser(MessageParser::Kind::kRequest);
    body_.clear();
    if (bulk) {
      left_ = n_bytes;
      return write(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", n_bytes), [this] { send_bulk(); });
    }
    if (!stream)
      return write(fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                               kAnswer.size(), kAnswer),
                   [this] { parse(); });
    n_sent_ = 0;
    write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
          [this] { send_chunk(); });
  }
  void send_bulk() {
    if (left_ == 0) return parse();
    const int64_t n = std::min<int64_t>(left_, 64 << 10);
    left_ -= n;
    write(std::string(static_cast<size_t>(n), 'b'), [this] { send_bulk(); });
  }
  void send_chunk() {
    const bool last = n_sent_++ == kChunks;
    const std::string data = last
                                 ? "data: [DONE]\n\n"
                                 : fmt::format(
                                       "data: {{\"id\":\"b\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word "
                                       "\"}}}}],\"sent\":\"{:020}\"}}\n\n",
                                       now_ns());
    write(fmt::format("{:x}\r\n{}\r\n{}", data.size(), data, last ? "0\r\n\r\n" : ""),
          [self = shared_from_this(), this, last] {
            if (last) return parse();
            channel_->loop().after(kChunk_s, [self, this] { send_chunk(); });
          });
  }
  void write(std::string bytes, std::function<void()> then) {
    channel_->write(std::move(bytes), [self = shared_from_this(), this, then = std::move(then)](IoEnd end, size_t) {
      if (end != IoEnd::kOk) return channel_->close();
      then();
    });
  }
  const ChannelPtr channel_;
  char buffer_[16384];
  std::string in_, body_;
  MessageParser parser_{MessageParser::Kind::kRequest};
  int n_sent_ = 0;
  int64_t left_ = 0;
};

int run_mock(uint16_t port) {
  Loops loops(1);
  ListenOptions options{{"127.0.0.1", port}, {}, 40000, 10};
  const auto listener = Listener::open(
      loops, options, [](ChannelPtr channel) { std::make_shared<MockConnection>(std::move(channel))->read(); });
  if (!listener) return fmt::print(stderr, "{}\n", listener.error().message), 1;
  for (;;) std::this_thread::sleep_for(std::chrono::seconds(60));
}

// --- the clients

struct Times {
  std::vector<double> us;
  std::string json() {
    std::sort(us.begin(), us.end());
    const auto at = [&](double q) {
      return us.empty() ? 0.0 : us[std::min(us.size() - 1, static_cast<size_t>(q * static_cast<double>(us.size())))];
    };
    return fmt::format(R"({{"n":{},"p50_us":{:.0f},"p90_us":{:.0f},"p99_us":{:.0f},"p999_us":{:.0f},"max_us":{:.0f}}})",
                       us.size(), at(.5), at(.9), at(.99), at(.999), at(1));
  }
};

struct Load {
  Loop& loop;
  std::shared_ptr<Dialer> dialer;
  Times first_byte, chunk_delay;
  int64_t n_bad = 0, n_done = 0;
  bool stopping = false;
  std::deque<ChannelPtr> idle;
  int open_streams = 0;
};

// One request and its answer, on a kept or a new connection.
class Request : public std::enable_shared_from_this<Request> {
 public:
  Request(Load& load, bool stream, int64_t due_ns) : load_(load), stream_(stream), due_ns_(due_ns) {}
  void start() {
    if (!load_.idle.empty()) {
      channel_ = std::move(load_.idle.back());
      load_.idle.pop_back();
      return send();
    }
    load_.dialer->dial([self = shared_from_this(), this](Result<ChannelPtr> channel) {
      if (!channel) return done(false);
      channel_ = *channel;
      // A connection's making isn't what is measured: keep-alive is.
      due_ns_ = std::max(due_ns_, now_ns());
      send();
    });
  }

 private:
  void send() {
    static const std::string kWhole = post("/v1/chat/completions", ask(false)),
                             kStream = post("/v1/chat/completions", ask(true));
    channel_->write(stream_ ? kStream : kWhole, [self = shared_from_this(), this](IoEnd end, size_t) {
      if (end != IoEnd::kOk) return done(false);
      read();
    });
  }
  void read() {
    channel_->read(buffer_, [self = shared_from_this(), this](IoEnd end, size_t n) {
      if (end != IoEnd::kOk) return done(false);
      const int64_t now = now_ns();
      if (!seen_) load_.first_byte.us.push_back(static_cast<double>(now - due_ns_) / 1e3);
      seen_ = true;
      in_.append(buffer_, n);
      while (!in_.empty() && !parser_.done()) {
        std::vector<std::string_view> pieces;
        const auto taken = parser_.feed(in_, pieces);
        if (!taken) return done(false);
        for (const auto piece : pieces) body_ += piece;
        in_.erase(0, *taken);
        if (*taken == 0) break;
      }
      for (size_t at;
           stream_ && (at = body_.find("\"sent\":\"", looked_)) != std::string::npos && at + 28 <= body_.size();) {
        load_.chunk_delay.us.push_back(static_cast<double>(now - std::strtoll(body_.c_str() + at + 8, nullptr, 10)) /
                                       1e3);
        looked_ = at + 28;
        ++n_chunks_;
      }
      if (!parser_.done()) return read();
      done(stream_ ? n_chunks_ == kChunks && body_.ends_with("data: [DONE]\n\n") : body_ == kAnswer);
    });
  }
  void done(bool good) {
    if (!good && !load_.stopping) ++load_.n_bad;
    if (good) {
      ++load_.n_done;
      load_.idle.push_back(channel_);
    } else if (channel_ != nullptr) {
      channel_->close();
    }
    if (stream_ && !load_.stopping) std::make_shared<Request>(load_, true, now_ns())->start();
  }
  Load& load_;
  const bool stream_;
  int64_t due_ns_;
  ChannelPtr channel_;
  char buffer_[16384];
  std::string in_, body_;
  MessageParser parser_{MessageParser::Kind::kResponse};
  size_t looked_ = 0;
  int n_chunks_ = 0;
  bool seen_ = false;
};

int run_load(uint16_t port, std::map<std::string, double> args) {
  raise_file_limit();
  Loops loops(1);
  Load load{loops.at(0), Dialer::make(loops.at(0), {"127.0.0.1", port, {}, 30}), {}, {}, 0, 0, false, {}, 0};
  const double rate = args["rate"], seconds = args["seconds"];
  std::vector<ChannelPtr> kept;
  std::atomic<int> n_kept{0}, n_failed{0};
  const int n_more = static_cast<int>(args["connections"]);
  for (int i = 0; i < n_more; ++i) {
    load.loop.post([&] {
      load.dialer->dial([&](Result<ChannelPtr> channel) {
        if (!channel) return void(++n_failed);
        kept.push_back(*channel);
        ++n_kept;
      });
    });
    if (i % 200 == 199) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  while (n_kept + n_failed < n_more) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  if (args["stall"] > 0)
    load.loop.post([&] {
      load.dialer->dial([&](Result<ChannelPtr> channel) {
        if (!channel) return;
        kept.push_back(*channel);
        (*channel)->write(post("/bulk", "1000000000"), [](IoEnd, size_t) {});
      });
    });
  load.loop.post([&load, n = static_cast<int>(args["streams"])] {
    for (int i = 0; i < n; ++i)
      load.loop.after(kChunk_s * kChunks * i / n,
                      [&load] { std::make_shared<Request>(load, true, now_ns())->start(); });
  });
  // Streams spread out first; what is measured before that is thrown away.
  std::this_thread::sleep_for(std::chrono::duration<double>(args["streams"] > 0 ? kChunk_s * kChunks : 0.5));
  load.loop.post([&load] { load.first_byte.us.clear(), load.chunk_delay.us.clear(); });
  const int64_t begin = now_ns();
  const auto n = static_cast<int64_t>(rate * seconds);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t due = begin + static_cast<int64_t>(static_cast<double>(i) / rate * 1e9);
    if (const int64_t wait = due - now_ns(); wait > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(wait));
    load.loop.post([&load, due] { std::make_shared<Request>(load, false, due)->start(); });
  }
  if (n == 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  std::atomic<bool> ended{false};
  load.loop.post([&] {
    load.stopping = true;
    fmt::print(
        "{{\"seconds\":{:.1f},\"n_done\":{},\"n_bad\":{},\"n_connections\":{},\"n_refused\":{},\"first_byte\":{},"
        "\"chunk_delay\":{}}}\n",
        static_cast<double>(now_ns() - begin) / 1e9, load.n_done, load.n_bad, n_kept.load(), n_failed.load(),
        load.first_byte.json(), load.chunk_delay.json());
    ended = true;
  });
  while (!ended) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  loops.stop();
  std::fflush(stdout);
  std::_Exit(load.n_bad == 0 && n_failed == 0 ? 0 : 1);
}

int run_bulk(uint16_t port, int64_t n_bytes) {
  Loops loops(1);
  const auto dialer = Dialer::make(loops.at(0), {"127.0.0.1", port, {}, 30});
  std::atomic<int64_t> n_read{0};
  std::atomic<bool> over{false};
  static char buffer[65536];
  std::function<void(ChannelPtr)> read = [&](ChannelPtr channel) {
    channel->read(buffer, [&, channel](IoEnd end, size_t n) {
      n_read += static_cast<int64_t>(n);
      if (end != IoEnd::kOk || n_read >= n_bytes)
        over = true;
      else
        read(channel);
    });
  };
  const int64_t begin = now_ns();
  loops.at(0).post([&] {
    dialer->dial([&](Result<ChannelPtr> channel) {
      if (!channel) return void(over = true);
      (*channel)->write(post("/bulk", std::to_string(n_bytes)), [&, c = *channel](IoEnd, size_t) { read(c); });
    });
  });
  while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const double s = static_cast<double>(now_ns() - begin) / 1e9;
  fmt::print("{{\"n_bytes\":{},\"seconds\":{:.2f},\"mb_per_s\":{:.0f}}}\n", n_read.load(), s,
             static_cast<double>(n_read) / 1e6 / s);
  std::fflush(stdout);
  std::_Exit(n_read >= n_bytes ? 0 : 1);
}

// 8 clients in a closed loop; every answer that came whole is one line, on the file before the next request.
int run_count(uint16_t port, const char* file, double seconds) {
  const int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return 1;
  Loops loops(1);
  const auto dialer = Dialer::make(loops.at(0), {"127.0.0.1", port, {}, 2});
  struct Client : std::enable_shared_from_this<Client> {
    std::shared_ptr<Dialer> dialer;
    ChannelPtr channel;
    int fd, id, n = 0;
    bool stream = false;
    char buffer[16384];
    std::string in;
    MessageParser parser{MessageParser::Kind::kResponse};
    void dial() {
      dialer->dial([self = shared_from_this()](Result<ChannelPtr> c) {
        if (!c) return;
        self->channel = *c;
        self->send();
      });
    }
    void send() {
      parser = MessageParser(MessageParser::Kind::kResponse);
      const std::string mark = fmt::format("mark-{}-{}-{}", getpid(), id, n++);
      channel->write(post("/v1/chat/completions",
                          fmt::format(R"({{"model":"b","messages":[{{"role":"user","content":"{}"}}]}})", mark)),
                     [self = shared_from_this(), mark](IoEnd end, size_t) {
                       if (end == IoEnd::kOk) self->read(mark);
                     });
    }
    void read(const std::string& mark) {
      channel->read(buffer, [self = shared_from_this(), mark](IoEnd end, size_t n_read) {
        if (end != IoEnd::kOk) return;
        self->in.append(self->buffer, n_read);
        while (!self->in.empty() && !self->parser.done()) {
          std::vector<std::string_view> pieces;
          const auto taken = self->parser.feed(self->in, pieces);
          if (!taken) return;
          self->in.erase(0, *taken);
          if (*taken == 0) break;
        }
        if (!self->parser.done()) return self->read(mark);
        if (self->parser.head().status == 200) {
          const std::string line = mark + "\n";
          if (write(self->fd, line.data(), line.size()) < 0) return;
        }
        self->send();
      });
    }
  };
  loops.at(0).post([&] {
    for (int i = 0; i < 8; ++i) {
      auto client = std::make_shared<Client>();
      client->dialer = dialer;
      client->fd = fd;
      client->id = i;
      client->dial();
    }
  });
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  std::_Exit(0);
}

int print_stored(const char* dir, const char* keys, bool whole) {
  const auto random = slm::os_random();
  const auto clock = slm::system_clock();
  const auto store = slm::store::Store::open(
      dir, {.identity = keys, .role = slm::store::Role::kCurator, .random = random.get(), .clock = clock.get()});
  if (!store) return fmt::print(stderr, "{}\n", store.error().message), 1;
  const auto done = (*store)->scan(slm::store::Store::Space::kRaw, {.body = true, .purpose = "test"},
                                   [whole](slm::store::StoredCall& stored) -> Result<bool> {
                                     if (whole) fmt::print("{}\n", stored.body);
                                     if (whole) return true;
                                     SLM_TRY(const auto value, slm::parse_json(stored.body));
                                     SLM_TRY(const auto body, slm::call_body_from_json(value));
                                     if (!body.messages.empty())
                                       fmt::print("{}\n", slm::content_text(body.messages.front().as_object()));
                                     return true;
                                   });
  if (!done) return fmt::print(stderr, "{}\n", done.error().message), 1;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return fmt::print(stderr, "proxy_load mock|run|bulk|count PORT …\n"), 2;
  const std::string mode = argv[1];
  if ((mode == "stored" || mode == "bodies") && argc > 3) return print_stored(argv[2], argv[3], mode == "bodies");
  const auto port = static_cast<uint16_t>(std::atoi(argv[2]));
  if (mode == "mock") return run_mock(port);
  if (mode == "bulk" && argc > 3) return run_bulk(port, std::atoll(argv[3]));
  std::map<std::string, double> args = {{"seconds", 10}};
  for (int i = 3; i < argc; ++i)
    if (const std::string arg = argv[i]; arg.find('=') != std::string::npos)
      args[arg.substr(0, arg.find('='))] = std::atof(arg.c_str() + arg.find('=') + 1);
  if (mode == "run") return run_load(port, args);
  if (mode == "count" && argc > 3) return run_count(port, argv[3], args["seconds"]);
  return 2;
}
