#include "collect/proxy.h"

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <thread>

#include "collect/proxy_metrics.h"
#include "collect/proxy_relay.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/log.h"
#include "http/server.h"

namespace slm::collect {

namespace {

Result<std::vector<std::string>> read_tokens(const std::filesystem::path& path) {
  std::vector<std::string> digests;
  if (path.empty()) return digests;
  constexpr uint64_t kMaxBytes = 1 << 20;
  constexpr size_t kMinToken = 16;
  SLM_TRY(const std::string text, read_file(path, kMaxBytes));
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    at = end + 1;
    if (line.empty() || line.front() == '#') continue;
    if (line.size() < kMinToken)
      return fail(ErrorCode::kUsage,
                  fmt::format("{}: a token of {} characters, fewer than {}", path.string(), line.size(), kMinToken),
                  "openssl rand -hex 32 makes one");
    digests.push_back(sha256_hex(line));
  }
  if (digests.empty()) return fail(ErrorCode::kUsage, fmt::format("{} holds no token", path.string()));
  return digests;
}

// One connection to each provider that speaks TLS, before anybody depends on it.
Status try_upstream(http::Loop& loop, const Upstream& upstream, const http::TlsContext& tls) {
  if (!upstream.url.tls) return {};
  auto result = std::make_shared<std::promise<Status>>();
  auto future = result->get_future();
  const auto dialer = std::make_shared<std::shared_ptr<http::Dialer>>();
  loop.post([&loop, dialer, tls, result, url = upstream.url] {
    *dialer = http::Dialer::make(loop, {url.host, url.port, tls, 5});
    (*dialer)->dial([result, dialer](Result<http::ChannelPtr> channel) {
      if (channel) (*channel)->close();
      result->set_value(channel ? Status() : Status(fail(channel.error())));
      dialer->reset();
    });
  });
  Status status = future.get();
  if (status || status.error().code != ErrorCode::kIo) return status;
  log_warn(
      fmt::format("upstream {}: {}; going on without it for now", upstream.url.authority(), status.error().message));
  return {};
}

class ProxyImpl final : public Proxy {
 public:
  explicit ProxyImpl(ProxyOptions options) : options_(std::move(options)), loops_(options_.n_threads) {}
  ~ProxyImpl() override {
    (void)drain();
    loops_.stop();
    // These belong to loops; connections that handlers still hold go with the loops, and look at their home once more.
    for (auto& [loop, home] : homes_) {
      home->idle.clear();
      home->dialers.clear();
    }
  }

  Status open(store::Store& store) {
    SLM_TRY(auto tokens, read_tokens(options_.token_file));
    http::TlsContext tls;
    if (!options_.certificate.empty()) {
      SLM_TRY(tls, http::tls_server({options_.certificate, options_.key, options_.client_ca}));
    }
    const bool authenticates = !tokens.empty() || !options_.client_ca.empty();
    if (!http::is_loopback(options_.listen) && (!tls || !authenticates))
      return fail(
          ErrorCode::kUsage,
          fmt::format("a listener at {} can be reached from other machines: it needs TLS and client authentication",
                      options_.listen.host),
          "--cert FILE --key FILE, and --client-ca FILE or --token-file FILE; or listen at 127.0.0.1");
    http::TlsContext client_tls;
    for (const Upstream& upstream : options_.upstreams)
      if (upstream.url.tls && !client_tls) {
        SLM_TRY(client_tls, http::tls_client({options_.ca, {}, {}}));
      }
    SLM_TRY(recorder_, Recorder::start(store, options_.recorder));
    core_.reset(new ProxyCore{options_, {}, std::move(tokens), *recorder_, counts_, {}});
    for (const Upstream& upstream : options_.upstreams) {
      core_->tls.push_back(upstream.url.tls ? client_tls : http::TlsContext());
      SLM_CHECK(try_upstream(loops_.at(0), upstream, core_->tls.back()));
    }
    for (size_t i = 0; i < loops_.size(); ++i) {
      auto home = std::make_unique<RelayLoop>(RelayLoop{loops_.at(i), *core_, {}, {}, {}});
      for (size_t u = 0; u < options_.upstreams.size(); ++u)
        home->dialers.push_back(http::Dialer::make(
            loops_.at(i), {options_.upstreams[u].url.host, options_.upstreams[u].url.port, core_->tls[u], 10}));
      home->idle.resize(options_.upstreams.size());
      homes_[&loops_.at(i)] = std::move(home);
    }
    http::ListenOptions listen{options_.listen, tls, options_.max_connections, options_.head_s};
    SLM_TRY(listener_, http::Listener::open(loops_, std::move(listen), [this](http::ChannelPtr channel) {
              http::Loop& loop = channel->loop();
              serve_connection(*homes_.at(&loop), std::move(channel));
            }));
    return open_admin();
  }

  uint16_t port() const override { return listener_->port(); }
  uint16_t admin_port() const override { return admin_ == nullptr ? uint16_t{0} : admin_->port(); }
  const ProxyCounts& counts() const override { return counts_; }
  Recorder& recorder() override { return *recorder_; }

  Status drain() override {
    if (drained_ || core_ == nullptr) return {};
    drained_ = true;
    core_->draining = true;
    if (listener_ != nullptr) listener_->stop();
    on_each_loop(drain_connections);
    using Steady = std::chrono::steady_clock;
    const auto until = Steady::now() + std::chrono::milliseconds(static_cast<int64_t>(options_.drain_s * 1e3));
    while (counts_.open_requests > 0 && Steady::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (counts_.open_requests > 0) {
      log_warn(fmt::format("{} requests were still under way after {:.0f} s and were cut", counts_.open_requests.load(),
                           options_.drain_s));
      on_each_loop(abort_connections);
    }
    Status status = recorder_->stop();
    if (admin_ != nullptr) admin_->stop();
    // Bytes on their way out get the time a connection has to end.
    const auto soon = Steady::now() + std::chrono::seconds(1);
    while (counts_.open_connections > 0 && Steady::now() < soon)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    loops_.stop();
    return status;
  }

 private:
  Status open_admin() {
    if (!options_.admin) return {};
    if (!http::is_loopback(*options_.admin))
      return fail(ErrorCode::kUsage,
                  fmt::format("--admin {} can be reached from other machines: it asks nobody who they are",
                              options_.admin->host),
                  "--admin 127.0.0.1:PORT");
    http::ServerOptions server;
    server.listen.address = *options_.admin;
    server.listen.max_connections = 64;
    server.max_body_bytes = 0;
    SLM_TRY(admin_,
            http::Server::open(loops_, std::move(server), [this](http::Request request, const http::Answer& answer) {
              http::Response response;
              const std::string_view path = request.head.target;
              if (path == "/metrics") {
                response.content_type = "text/plain; version=0.0.4; charset=utf-8";
                response.body = prometheus_text(counts_, *recorder_);
              } else if (path == "/health") {
                const bool well = !recorder_->failing() && !core_->draining;
                response.status = well ? 200 : 503;
                response.body = well ? "ok\n" : core_->draining ? "ending\n" : "the store takes no calls\n";
              } else {
                response.status = 404;
                response.body = "/metrics and /health are here\n";
              }
              answer(std::move(response));
            }));
    return {};
  }

  void on_each_loop(void (*work)(RelayLoop&)) {
    for (auto& [loop, home] : homes_) {
      std::promise<void> done;
      loop->post([&, raw = home.get()] {
        work(*raw);
        done.set_value();
      });
      done.get_future().wait();
    }
  }

  const ProxyOptions options_;
  ProxyCounts counts_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<ProxyCore> core_;
  std::map<http::Loop*, std::unique_ptr<RelayLoop>> homes_;
  http::Loops loops_;  // goes before what its handlers use
  std::shared_ptr<http::Listener> listener_;
  std::shared_ptr<http::Server> admin_;
  bool drained_ = false;
};

}  // namespace

Result<Upstream> parse_upstream(std::string_view text) {
  Upstream upstream;
  const size_t equals = text.find('=');
  const size_t scheme = text.find("://");
  if (text.starts_with('/') && equals != std::string_view::npos &&
      (scheme == std::string_view::npos || equals < scheme)) {
    upstream.prefix = text.substr(0, equals);
    while (upstream.prefix.ends_with('/')) upstream.prefix.pop_back();
    text.remove_prefix(equals + 1);
  }
  SLM_TRY(upstream.url, http::parse_url(text));
  return upstream;
}

Result<std::unique_ptr<Proxy>> Proxy::start(ProxyOptions options, store::Store& store) {
  if (options.upstreams.empty())
    return fail(ErrorCode::kUsage, "a proxy needs an upstream", "--upstream https://api.openai.com");
  for (size_t i = 0; i < options.upstreams.size(); ++i)
    for (size_t k = 0; k < i; ++k)
      if (options.upstreams[i].prefix == options.upstreams[k].prefix)
        return fail(ErrorCode::kUsage,
                    fmt::format("two upstreams serve the paths below \"{}/\"", options.upstreams[i].prefix),
                    "--upstream /PREFIX=URL");
  auto proxy = std::make_unique<ProxyImpl>(std::move(options));
  SLM_CHECK(proxy->open(store));
  return std::unique_ptr<Proxy>(std::move(proxy));
}

}  // namespace slm::collect
