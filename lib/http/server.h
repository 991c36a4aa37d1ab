// A server whose requests and answers are whole: for metrics, receivers, small APIs. What streams uses net.h itself.
//
// Requires: nothing of who connects: sizes and times are bounded, content codings are undone under a bound.
// Errors: as Listener::open.
// Threads: the handler runs on the connection's loop and mustn't block; `answer` may be called once, from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "http/message.h"
#include "http/net.h"

namespace slm::http {

struct Request {
  Head head;
  std::string body;  // decoded
  std::string peer_name;
};
struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8", body;
  std::vector<Field> fields;
};
using Answer = std::function<void(Response)>;
using Handler = std::function<void(Request, Answer)>;

struct ServerOptions {
  ListenOptions listen;
  size_t max_head_bytes = 32 << 10;
  uint64_t max_body_bytes = uint64_t{4} << 20;      // as sent: 413
  uint64_t max_decoded_bytes = uint64_t{64} << 20;  // after undoing codings: 413
  double head_s = 10, body_s = 30, idle_s = 75;
};

class Server {
 public:
  static Result<std::shared_ptr<Server>> open(Loops& loops, ServerOptions options, Handler handler);
  virtual ~Server() = default;
  virtual uint16_t port() const = 0;
  virtual void stop() = 0;
};

}  // namespace slm::http
