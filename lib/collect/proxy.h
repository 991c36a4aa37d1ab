// S1, live: a recording reverse proxy. What clients and providers say to each other passes unchanged; the calls among
// it are put together aside and sealed into the store.
//
// Of what passes: body bytes are identical but for chunk framing; each read from the provider is written to the client
// before the next is begun; header values and their order stay, fields of one connection only go (message.h), Host is
// the provider's. Nothing is retried, nothing is added. Credentials pass and are never kept.
// Recorded: the APIs of call/recording.h, found by the end of the path. Everything else passes, counted "unrecorded".
// Units: s, ms, bytes as named.
// Memory: a connection holds what one read brings; what is being recorded is bounded over all connections.
// Errors: kUsage (addresses, upstreams, TLS files; a listener off this machine without TLS and client authentication;
//   a provider that speaks only later versions of HTTP), kIntegrity (a provider's certificate).
// Threads: start, drain and report from one thread.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collect/proxy_recorder.h"
#include "http/net.h"

namespace slm::collect {

// Requests whose path begins with `prefix` go to `url`, whose path takes the prefix's place.
struct Upstream {
  std::string prefix;
  http::Url url;
};
// "URL" or "/PREFIX=URL".
Result<Upstream> parse_upstream(std::string_view text);

struct ProxyOptions {
  http::Address listen;
  std::optional<http::Address> admin;  // of a listener of its own, on this machine: /metrics and /health
  std::vector<Upstream> upstreams;
  std::filesystem::path ca;                // trusted for providers; empty: the system's
  std::filesystem::path certificate, key;  // of the listener: then it speaks TLS
  std::filesystem::path client_ca;         // clients show a certificate of these authorities
  std::filesystem::path token_file;        // clients send Proxy-Authorization: Bearer and one of its lines
  std::string session_header, session_field, site_header, source_header;
  std::vector<std::string> human_routes;  // path prefixes whose calls pass and aren't recorded
  int n_threads = 1;
  size_t max_head_bytes = 32 << 10;
  int64_t max_connections = 20000;
  double head_s = 10;       // for a whole request header
  double idle_s = 75;       // between requests
  double body_s = 60;       // between two reads of a request's body
  double upstream_s = 600;  // for the provider's next byte
  double stall_s = 600;     // for a client that doesn't read
  double drain_s = 30;      // for what is under way at the end
  RecorderOptions recorder;
};

// Counted since the start.
struct ProxyCounts {
  std::atomic<int64_t> connections{0}, open_connections{0}, requests{0}, refused{0}, unauthenticated{0}, unrecorded{0},
      excluded{0}, upstream_failures{0}, upstream_broken{0}, clients_gone{0}, request_bytes{0}, response_bytes{0},
      open_requests{0}, turned_away{0};
};

class Proxy {
 public:
  // `store`: opened by a collector for writing; used by the recorder's thread alone until the proxy is gone.
  static Result<std::unique_ptr<Proxy>> start(ProxyOptions options, store::Store& store);
  virtual ~Proxy() = default;
  virtual uint16_t port() const = 0;
  virtual uint16_t admin_port() const = 0;  // 0: none
  virtual const ProxyCounts& counts() const = 0;
  virtual Recorder& recorder() = 0;
  // Accepts no more, lets what is under way end (at most drain_s), and commits what was recorded.
  virtual Status drain() = 0;
};

}  // namespace slm::collect
