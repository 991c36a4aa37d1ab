// Plain blocking sockets for tests of what speaks HTTP: a scripted server and a client that see every byte.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace slm::testing {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  static Socket to(uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
      close(fd);
      return Socket(-1);
    }
    return Socket(fd);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() { end(); }
  void end() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // What one read brings; "" at the end or after wait_ms.
  std::string some(int wait_ms = 10000) const {
    pollfd ready{fd_, POLLIN, 0};
    if (poll(&ready, 1, wait_ms) <= 0) return {};
    char buffer[65536];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : std::string();
  }
  // Until the other side ends.
  std::string all(int wait_ms = 10000) const {
    std::string out;
    for (std::string piece = some(wait_ms); !piece.empty(); piece = some(wait_ms)) out += piece;
    return out;
  }
  std::string until(std::string_view mark, int wait_ms = 10000) const {
    std::string out;
    while (out.find(mark) == std::string::npos) {
      const std::string piece = some(wait_ms);
      if (piece.empty()) break;
      out += piece;
    }
    return out;
  }

 private:
  int fd_;
};

// Reads one request: head, and body by its Content-Length or its chunks (then as they came).
inline std::string read_request(const Socket& socket) {
  std::string text = socket.until("\r\n\r\n");
  const size_t head = text.find("\r\n\r\n");
  if (head == std::string::npos) return text;
  if (text.find("ransfer-Encoding: chunked") < head) {
    while (!text.ends_with("0\r\n\r\n")) {
      const std::string more = socket.some();
      if (more.empty()) break;
      text += more;
    }
    return text;
  }
  const size_t at = text.find("ontent-Length: ");
  const size_t length = at < head ? std::stoul(text.substr(at + 15)) : 0;
  while (text.size() < head + 4 + length) {
    const std::string more = socket.some();
    if (more.empty()) break;
    text += more;
  }
  return text;
}

// Serves each connection on a thread of its own, by `serve`, until it is destroyed.
class TestServer {
 public:
  using Serve = std::function<void(Socket&)>;
  explicit TestServer(Serve serve) : serve_(std::move(serve)) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t n = sizeof at;
    bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at);
    listen(fd_, 256);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &n);
    port_ = ntohs(at.sin_port);
    accepter_ = std::thread([this] { accept_all(); });
  }
  ~TestServer() {
    stopping_ = true;
    shutdown(fd_, SHUT_RDWR);
    accepter_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    for (auto& thread : threads_) thread.join();
    close(fd_);
  }
  uint16_t port() const { return port_; }
  int n_connections() const { return n_connections_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  void accept_all() {
    while (!stopping_) {
      const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++n_connections_;
      const std::lock_guard lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] {
        Socket socket(fd);
        serve_(socket);
        const std::lock_guard closing(mutex_);
        std::erase(open_, fd);
        socket.end();
      });
    }
  }
  Serve serve_;
  int fd_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> n_connections_{0};
  std::mutex mutex_;
  std::vector<int> open_;
  std::thread accepter_;
  std::vector<std::thread> threads_;
};

}  // namespace slm::testing
