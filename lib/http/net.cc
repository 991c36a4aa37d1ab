#include "http/net.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <thread>
#include <unordered_set>

namespace slm::http {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using SteadyTime = std::chrono::steady_clock::time_point;

std::chrono::milliseconds ms_of(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
}

// What a loop looks at once a second.
class Timed {
 public:
  virtual ~Timed() = default;
  virtual void expire() = 0;
  SteadyTime deadline = SteadyTime::max();
};

}  // namespace

class LoopImpl final : public Loop {
 public:
  LoopImpl() : io_(1), guard_(io_.get_executor()), ticker_(io_) { tick(); }
  void post(std::function<void()> work) override { asio::post(io_, std::move(work)); }
  void after(double seconds, std::function<void()> work) override {
    auto timer = std::make_shared<asio::steady_timer>(io_, ms_of(seconds));
    timer->async_wait([timer, work = std::move(work)](error_code ec) {
      if (!ec) work();
    });
  }
  asio::io_context& io() override { return io_; }
  void run() { io_.run(); }
  void stop() { io_.stop(); }
  void watch(Timed* timed) { timed_.insert(timed); }
  void forget(Timed* timed) { timed_.erase(timed); }

 private:
  void tick() {
    ticker_.expires_after(std::chrono::seconds(1));
    ticker_.async_wait([this](error_code ec) {
      if (ec) return;
      const auto now = std::chrono::steady_clock::now();
      std::vector<Timed*> due;
      for (Timed* timed : timed_)
        if (timed->deadline <= now) due.push_back(timed);
      for (Timed* timed : due)
        if (timed_.contains(timed)) timed->expire();
      tick();
    });
  }

  std::unordered_set<Timed*> timed_;  // outlives what handlers still hold when the loop goes
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  asio::steady_timer ticker_;
};

struct Loops::Impl {
  std::vector<std::unique_ptr<LoopImpl>> loops;
  std::vector<std::thread> threads;
};

Loops::Loops(int n_threads) : impl_(std::make_unique<Impl>()) {
  for (int i = 0; i < std::max(1, n_threads); ++i) impl_->loops.push_back(std::make_unique<LoopImpl>());
  for (auto& loop : impl_->loops) impl_->threads.emplace_back([raw = loop.get()] { raw->run(); });
}
Loops::~Loops() { stop(); }
size_t Loops::size() const { return impl_->loops.size(); }
Loop& Loops::at(size_t i) { return *impl_->loops[i]; }
void Loops::stop() {
  for (auto& loop : impl_->loops) loop->stop();
  for (auto& thread : impl_->threads)
    if (thread.joinable()) thread.join();
}

namespace {

IoEnd end_of(const error_code& ec, bool timed_out) {
  if (!ec) return IoEnd::kOk;
  if (timed_out) return IoEnd::kTimedOut;
  // Without a close_notify too: what a message's framing promised is checked by its reader.
  if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated) return IoEnd::kClosed;
  return IoEnd::kFailed;
}

bool is_ssl_reason(const error_code& ec, int reason) {
  return ec.category() == asio::error::get_ssl_category() &&
         ERR_GET_REASON(static_cast<unsigned long>(ec.value())) == reason;
}

template <class Stream>
class StreamChannel : public Channel, public Timed {
 public:
  template <class... Args>
  StreamChannel(LoopImpl& loop, Args&&... args) : loop_(loop), stream_(std::forward<Args>(args)...) {
    loop_.watch(this);
  }
  ~StreamChannel() override { loop_.forget(this); }

  void read(std::span<char> into, Done done) override {
    reading_ = true;
    stream_.async_read_some(asio::buffer(into.data(), into.size()),
                            [self = shared_from_this(), this, done = std::move(done)](error_code ec, size_t n) {
                              reading_ = false;
                              done(closed_ ? IoEnd::kFailed : n > 0 ? IoEnd::kOk : end_of(ec, timed_out_), n);
                              if (lingers_) ec ? shut() : linger();
                            });
  }
  void write(std::string bytes, Done done) override {
    bytes_ = std::move(bytes);
    writing_ = true;
    asio::async_write(stream_, asio::buffer(bytes_),
                      [self = shared_from_this(), this, done = std::move(done)](error_code ec, size_t n) {
                        writing_ = false;
                        bytes_ = {};
                        done(end_of(ec, timed_out_), n);
                      });
  }
  void close() override {
    if (closed_) return;
    closed_ = true;
    if (!socket().is_open()) return;
    if (writing_) return shut();
    set_timeout(kLinger_s);
    say_goodbye();
  }
  void abort() override {
    closed_ = true;
    deadline = SteadyTime::max();
    error_code ignored;
    if (!socket().is_open()) return;
    socket().set_option(tcp::socket::linger(true, 0), ignored);
    socket().close(ignored);
  }
  void set_timeout(double seconds) override {
    deadline = seconds <= 0 ? SteadyTime::max() : std::chrono::steady_clock::now() + ms_of(seconds);
  }
  void expire() override {
    timed_out_ = true;
    error_code ignored;
    deadline = SteadyTime::max();
    socket().close(ignored);
  }
  bool is_open() const override { return !closed_ && socket().is_open(); }
  bool is_quiet() override {
    if (!is_open()) return false;
    pollfd fd{socket().native_handle(), POLLIN | POLLRDHUP, 0};
    return ::poll(&fd, 1, 0) == 0;
  }
  Loop& loop() override { return loop_; }

  virtual tcp::socket& socket() = 0;
  virtual const tcp::socket& socket() const = 0;

 protected:
  static constexpr double kLinger_s = 2;
  // Ends our half of the stream, then calls linger().
  virtual void say_goodbye() = 0;
  // Takes what still comes, so that unread bytes don't make the system throw away what was sent.
  void linger() {
    error_code failed;
    if (!lingers_) socket().shutdown(tcp::socket::shutdown_send, failed);
    lingers_ = true;
    if (failed) return shut();
    if (reading_) return;  // the read in progress comes back here
    if (!discarded_) discarded_ = std::make_unique<std::array<char, 4096>>();
    socket().async_read_some(asio::buffer(*discarded_), [self = shared_from_this(), this](error_code ended, size_t) {
      ended ? shut() : linger();
    });
  }
  void shut() {
    deadline = SteadyTime::max();
    lingers_ = false;
    error_code ignored;
    socket().shutdown(tcp::socket::shutdown_both, ignored);
    socket().close(ignored);
  }
  LoopImpl& loop_;
  Stream stream_;
  std::string bytes_;  // being written
  std::unique_ptr<std::array<char, 4096>> discarded_;
  bool reading_ = false, writing_ = false, timed_out_ = false, closed_ = false, lingers_ = false;
};

class PlainChannel final : public StreamChannel<tcp::socket> {
 public:
  PlainChannel(LoopImpl& loop, tcp::socket socket) : StreamChannel(loop, std::move(socket)) {}
  tcp::socket& socket() override { return stream_; }
  const tcp::socket& socket() const override { return stream_; }
  std::string peer_name() const override { return {}; }

 private:
  void say_goodbye() override { linger(); }
};

class TlsChannel final : public StreamChannel<asio::ssl::stream<tcp::socket>> {
 public:
  TlsChannel(LoopImpl& loop, tcp::socket socket, const TlsContext& tls)
      : StreamChannel(loop, std::move(socket), SSL_new(tls.native.get())) {}
  tcp::socket& socket() override { return stream_.next_layer(); }
  const tcp::socket& socket() const override { return stream_.next_layer(); }
  SSL* ssl() { return stream_.native_handle(); }
  void handshake(asio::ssl::stream_base::handshake_type type, std::function<void(error_code)> done) {
    stream_.async_handshake(type, [self = shared_from_this(), done = std::move(done)](error_code ec) { done(ec); });
  }
  std::string peer_name() const override {
    std::string name;
    const auto peer = std::unique_ptr<X509, decltype(&X509_free)>(
        SSL_get1_peer_certificate(const_cast<TlsChannel*>(this)->ssl()), X509_free);
    if (peer == nullptr) return name;
    char text[256];
    const int n = X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName, text, sizeof text);
    if (n > 0) name.assign(text, static_cast<size_t>(n));
    return name;
  }

 private:
  // With a close_notify, so that the other side knows that nothing was cut.
  void say_goodbye() override {
    if (SSL_in_init(ssl()) != 0) return shut();
    stream_.async_shutdown([self = shared_from_this(), this](error_code) { shut(); });
  }
};

class DialerImpl final : public Dialer, public std::enable_shared_from_this<DialerImpl> {
 public:
  DialerImpl(LoopImpl& loop, Options options) : loop_(loop), options_(std::move(options)), resolver_(loop.io()) {}

  void dial(Done done) override {
    if (!addresses_.empty() && std::chrono::steady_clock::now() < fresh_until_) return connect(std::move(done));
    resolver_.async_resolve(
        options_.host, std::to_string(options_.port),
        [self = shared_from_this(), this, done = std::move(done)](error_code ec, tcp::resolver::results_type results) {
          if (ec) return done(fail(ErrorCode::kIo, fmt::format("{}: {}", options_.host, ec.message())));
          addresses_.assign(results.begin(), results.end());
          fresh_until_ = std::chrono::steady_clock::now() + std::chrono::seconds(30);
          connect(done);
        });
  }

 private:
  struct Attempt : Timed {
    explicit Attempt(LoopImpl& l) : loop(l), socket(l.io()) { loop.watch(this); }
    ~Attempt() override { loop.forget(this); }
    void expire() override {
      timed_out = true;
      deadline = SteadyTime::max();
      error_code ignored;
      socket.close(ignored);
    }
    LoopImpl& loop;
    tcp::socket socket;
    bool timed_out = false;
  };

  Error error_of(const error_code& ec, bool timed_out) const {
    return {ErrorCode::kIo,
            fmt::format("{}:{}: {}", options_.host, options_.port, timed_out ? "timed out" : ec.message()),
            {}};
  }

  void connect(Done done) {
    auto attempt = std::make_shared<Attempt>(loop_);
    attempt->deadline = std::chrono::steady_clock::now() + ms_of(options_.timeout_s);
    auto addresses = std::make_shared<std::vector<tcp::endpoint>>(addresses_);
    asio::async_connect(attempt->socket, *addresses,
                        [self = shared_from_this(), this, attempt, addresses, done = std::move(done)](
                            error_code ec, const tcp::endpoint&) {
                          if (ec) {
                            addresses_.clear();
                            return done(fail(error_of(ec, attempt->timed_out)));
                          }
                          attempt->socket.set_option(tcp::no_delay(true), ec);
                          if (!options_.tls)
                            return done(ChannelPtr(std::make_shared<PlainChannel>(loop_, std::move(attempt->socket))));
                          secure(std::move(attempt->socket), done);
                        });
  }

  void secure(tcp::socket socket, const Done& done) {
    auto channel = std::make_shared<TlsChannel>(loop_, std::move(socket), options_.tls);
    error_code is_name;
    asio::ip::make_address(options_.host, is_name);
    X509_VERIFY_PARAM* const verify = SSL_get0_param(channel->ssl());
    const bool named = is_name
                           ? SSL_set_tlsext_host_name(channel->ssl(), options_.host.c_str()) == 1 &&
                                 X509_VERIFY_PARAM_set1_host(verify, options_.host.data(), options_.host.size()) == 1
                           : X509_VERIFY_PARAM_set1_ip_asc(verify, options_.host.c_str()) == 1;
    if (!named) return done(fail(ErrorCode::kUsage, fmt::format("{}: no name that TLS can verify", options_.host)));
    channel->set_timeout(options_.timeout_s);
    channel->handshake(asio::ssl::stream_base::client, [self = shared_from_this(), this, channel, done](error_code ec) {
      channel->set_timeout(0);
      if (!ec) return done(ChannelPtr(channel));
      const long verified = SSL_get_verify_result(channel->ssl());
      if (verified != X509_V_OK)
        return done(fail(ErrorCode::kIntegrity,
                         fmt::format("{}:{}: its certificate isn't trusted: {}", options_.host, options_.port,
                                     X509_verify_cert_error_string(verified)),
                         "--ca FILE.pem names the authorities to trust"));
      if (is_ssl_reason(ec, SSL_R_WRONG_VERSION_NUMBER))
        return done(fail(ErrorCode::kUsage,
                         fmt::format("{}:{} answers TLS with something else", options_.host, options_.port),
                         "http:// instead of https://, if it is on this machine or a network that you trust"));
      if (is_ssl_reason(ec, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL))
        return done(fail(ErrorCode::kUsage,
                         fmt::format("{}:{} speaks no HTTP/1.1, only a later version", options_.host, options_.port),
                         "put a gateway that speaks HTTP/1.1 before it"));
      done(fail(error_of(ec, !channel->is_open())));
    });
  }

  LoopImpl& loop_;
  Options options_;
  tcp::resolver resolver_;
  std::vector<tcp::endpoint> addresses_;
  SteadyTime fresh_until_{};
};

class ListenerImpl final : public Listener, public std::enable_shared_from_this<ListenerImpl> {
 public:
  ListenerImpl(Loops& loops, ListenOptions options, Accepted accepted)
      : loops_(loops), options_(std::move(options)), accepted_(std::move(accepted)), acceptor_(loops.at(0).io()) {}

  Status start() {
    error_code ec;
    tcp::resolver resolver(loops_.at(0).io());
    const auto found =
        resolver.resolve(options_.address.host, std::to_string(options_.address.port), tcp::resolver::passive, ec);
    if (ec || found.empty()) return cannot(ec.message());
    const tcp::endpoint endpoint = *found.begin();
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(4096, ec);
    if (ec) return cannot(ec.message());
    port_ = acceptor_.local_endpoint(ec).port();
    loops_.at(0).post([self = shared_from_this()] { self->accept(); });
    return {};
  }
  uint16_t port() const override { return port_; }
  void stop() override {
    loops_.at(0).post([self = shared_from_this()] {
      error_code ignored;
      self->stopped_ = true;
      self->acceptor_.close(ignored);
    });
  }

 private:
  Status cannot(const std::string& why) const {
    return fail(ErrorCode::kUsage,
                fmt::format("can't listen at {}:{}: {}", options_.address.host, options_.address.port, why));
  }
  void accept() {
    auto& loop = static_cast<LoopImpl&>(loops_.at(next_ % loops_.size()));
    acceptor_.async_accept(loop.io(), [self = shared_from_this(), this, &loop](error_code ec, tcp::socket socket) {
      if (stopped_) return;
      if (ec) {  // no more files, most likely: what is open must end first
        loops_.at(0).after(0.1, [self] { self->accept(); });
        return;
      }
      ++next_;
      if (n_open_->load() < options_.max_connections) {
        n_open_->fetch_add(1);
        auto shared = std::make_shared<tcp::socket>(std::move(socket));
        loop.post([self, this, &loop, shared] { opened(loop, std::move(*shared)); });
      }
      accept();
    });
  }
  void opened(LoopImpl& loop, tcp::socket socket) {
    error_code ec;
    socket.set_option(tcp::no_delay(true), ec);
    const auto count_down = [n_open = n_open_](Channel* channel) {
      delete channel;
      n_open->fetch_sub(1);
    };
    if (!options_.tls) return accepted_(ChannelPtr(new PlainChannel(loop, std::move(socket)), count_down));
    std::shared_ptr<TlsChannel> channel(new TlsChannel(loop, std::move(socket), options_.tls), count_down);
    channel->set_timeout(options_.handshake_s);
    channel->handshake(asio::ssl::stream_base::server, [self = shared_from_this(), this, channel](error_code failed) {
      if (is_ssl_reason(failed, SSL_R_HTTP_REQUEST)) return tell_tls(channel);
      if (failed) return channel->close();
      channel->set_timeout(0);
      accepted_(channel);
    });
  }

  // To who spoke HTTP without TLS, in kind.
  static void tell_tls(const std::shared_ptr<TlsChannel>& channel) {
    static constexpr std::string_view kText =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 33\r\nConnection: close\r\n\r\n"
        "this port speaks TLS: use https\r\n";
    asio::async_write(channel->socket(), asio::buffer(kText), [channel](error_code, size_t) { channel->close(); });
  }

  Loops& loops_;
  const ListenOptions options_;
  const Accepted accepted_;
  tcp::acceptor acceptor_;
  uint16_t port_ = 0;
  size_t next_ = 0;
  bool stopped_ = false;
  std::shared_ptr<std::atomic<int64_t>> n_open_ = std::make_shared<std::atomic<int64_t>>(0);
};

}  // namespace

std::shared_ptr<Dialer> Dialer::make(Loop& loop, Options options) {
  return std::make_shared<DialerImpl>(static_cast<LoopImpl&>(loop), std::move(options));
}

Result<std::shared_ptr<Listener>> Listener::open(Loops& loops, ListenOptions options, Accepted accepted) {
  auto listener = std::make_shared<ListenerImpl>(loops, std::move(options), std::move(accepted));
  SLM_CHECK(listener->start());
  return std::shared_ptr<Listener>(std::move(listener));
}

int64_t raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return static_cast<int64_t>(limit.rlim_cur);
}

}  // namespace slm::http
