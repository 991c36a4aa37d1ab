// Connections: threads that each run one loop, listeners, dialled and accepted channels, plain or TLS.
//
// A channel belongs to one loop for its life; everything that concerns it happens on that loop's thread, so what is
// built on it needs no locks.
// Units: timeouts in s; they are looked at once a second.
// Errors: kIo; kUsage where TLS or the address can't be had.
// Threads: Loop::post from any thread; the rest on the loop's own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include "http/tls.h"
#include "http/url.h"

namespace boost::asio {
class io_context;
}

namespace slm::http {

class Loop {
 public:
  virtual ~Loop() = default;
  virtual void post(std::function<void()> work) = 0;
  virtual void after(double seconds, std::function<void()> work) = 0;
  virtual boost::asio::io_context& io() = 0;
};

// What belongs to a loop, held by who may let go of it on a thread of its own: its last reference ends on the loop.
// Requires: let go of before the loop is destroyed.
template <class... T>
std::shared_ptr<void> held_for(Loop& loop, std::shared_ptr<T>... held) {
  auto all = std::make_shared<std::tuple<std::shared_ptr<T>...>>(std::move(held)...);
  void* const place = all.get();
  return {place, [&loop, all = std::move(all)](void*) mutable { loop.post([all = std::move(all)] {}); }};
}

// n threads, one loop each. stop() or the destructor ends them; what was posted and not yet run is dropped.
class Loops {
 public:
  explicit Loops(int n_threads);
  ~Loops();
  size_t size() const;
  Loop& at(size_t i);
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

enum class IoEnd { kOk, kClosed, kTimedOut, kFailed };  // kClosed: the other side ended its stream

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  using Done = std::function<void(IoEnd end, size_t n)>;
  virtual ~Channel() = default;
  // At most one read and one write at a time. `into` stays until `done`, which is called once, never from inside
  // read().
  virtual void read(std::span<char> into, Done done) = 0;
  // Writes all of it.
  virtual void write(std::string bytes, Done done) = 0;
  // Ends the connection in good order, after what was written; a read or write in progress ends with kFailed.
  virtual void close() = 0;
  // Ends it so that the other side sees a failure, not an end.
  virtual void abort() = 0;
  // From now on, closes after so many seconds without a further call; 0: never.
  virtual void set_timeout(double seconds) = 0;
  virtual bool is_open() const = 0;
  // Nothing arrived and the other side hasn't closed: only then may an idle connection be used again.
  virtual bool is_quiet() = 0;
  virtual Loop& loop() = 0;
  // Common name of the certificate that the other side showed; "" without.
  virtual std::string peer_name() const = 0;
};
using ChannelPtr = std::shared_ptr<Channel>;

// Connects to one server; its addresses are looked up at most every 30 s. One per loop.
class Dialer {
 public:
  using Done = std::function<void(Result<ChannelPtr>)>;
  struct Options {
    std::string host;
    uint16_t port = 80;
    TlsContext tls;  // empty: plain
    double timeout_s = 10;
  };
  static std::shared_ptr<Dialer> make(Loop& loop, Options options);
  virtual ~Dialer() = default;
  // Errors: kIo (no such host, refused, timed out), kIntegrity (certificate), kUsage (speaks no HTTP/1.1, no TLS).
  virtual void dial(Done done) = 0;
};

struct ListenOptions {
  Address address;
  TlsContext tls;  // empty: plain
  int64_t max_connections = 20000;
  double handshake_s = 10;
};
// Accepts connections and gives them to the loops in turn. `accepted` runs on the channel's loop, after the handshake.
class Listener {
 public:
  using Accepted = std::function<void(ChannelPtr)>;
  // Errors: kUsage when the address is in use or isn't this machine's.
  static Result<std::shared_ptr<Listener>> open(Loops& loops, ListenOptions options, Accepted accepted);
  virtual ~Listener() = default;
  virtual uint16_t port() const = 0;
  virtual void stop() = 0;  // accepts no more; from any thread
};

// Raises the limit of open files as far as the system lets this process; the limit.
int64_t raise_file_limit();

}  // namespace slm::http
