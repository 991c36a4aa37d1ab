// One client connection of the proxy: requests in, the provider's answers out, one at a time.
//
// Threads: its loop's.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "collect/proxy.h"

namespace slm::collect {

// What all connections share.
struct ProxyCore {
  const ProxyOptions& options;
  std::vector<http::TlsContext> tls;  // by upstream; empty: plain
  std::vector<std::string> tokens;    // SHA-256 of each, hexadecimal; empty: no token is asked for
  Recorder& recorder;
  ProxyCounts& counts;
  std::atomic<bool> draining{false};
};

class Relay;

// What the connections of one loop share: idle connections to providers.
struct RelayLoop {
  http::Loop& loop;
  ProxyCore& core;
  std::vector<std::shared_ptr<http::Dialer>> dialers;  // by upstream
  struct Idle {
    http::ChannelPtr channel;
    double since_s;
  };
  std::vector<std::vector<Idle>> idle;  // by upstream
  std::set<Relay*> relays;
};

// Starts reading; lives as long as its connection.
void serve_connection(RelayLoop& loop, http::ChannelPtr client);
// Ends idle connections now, the others after what they are doing.
void drain_connections(RelayLoop& loop);
// Ends all of them.
void abort_connections(RelayLoop& loop);

}  // namespace slm::collect
