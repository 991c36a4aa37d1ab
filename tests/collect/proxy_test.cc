// The proxy between a client and a provider that are plain sockets: what reaches each side, byte by byte and when, and
// what is recorded.
#include "collect/proxy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "collect/memory_store.h"
#include "collect/proxy_metrics.h"
#include "core/file.h"
#include "support/sockets.h"

namespace slm::collect {
namespace {

using slm::testing::read_request;
using slm::testing::Socket;
using slm::testing::TestServer;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;
using std::chrono::milliseconds;

const std::string kAsk = R"({"model":"m","messages":[{"role":"user","content":"canary-question"}]})";
const std::string kAnswer =
    R"({"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"canary-answer"},"finish_reason":"stop"}]})";

std::string post(const std::string& path, const std::string& body, const std::string& fields = {}) {
  return "POST " + path + " HTTP/1.1\r\nHost: client.example\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string ok(const std::string& body, const std::string& fields = {}) {
  return "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class ProxyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slm_proxy_test_" + std::to_string(getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    store_.set_dir(dir_);
    options_.drain_s = 2;
  }
  void TearDown() override {
    proxy_.reset();
    fs::remove_all(dir_);
  }
  void start(const TestServer& server) {
    options_.upstreams.push_back(parse_upstream(server.url()).value());
    start();
  }
  void start() {
    auto made = Proxy::start(options_, store_);
    ASSERT_TRUE(made.has_value()) << made.error().message;
    proxy_ = std::move(*made);
  }
  // What is stored after all that waits is.
  std::vector<Call> stored() {
    EXPECT_TRUE(proxy_->drain().has_value());
    std::vector<Call> calls;
    for (const auto& call : store_.calls)
      calls.push_back({call_meta_from_json(parse_json(call.meta).value()).value(),
                       call_body_from_json(parse_json(call.body).value()).value()});
    return calls;
  }
  Socket client() { return Socket::to(proxy_->port()); }

  fs::path dir_;
  MemoryStore store_;
  ProxyOptions options_;
  std::unique_ptr<Proxy> proxy_;
};

// Answers every request with the same bytes.
TestServer::Serve always(std::string bytes, std::string* seen = nullptr) {
  return [bytes = std::move(bytes), seen](Socket& socket) {
    for (;;) {
      const std::string request = read_request(socket);
      if (request.find("\r\n\r\n") == std::string::npos) return;
      if (seen != nullptr) *seen = request;
      if (!socket.send(bytes)) return;
    }
  };
}

TEST_F(ProxyTest, HeadsAndBodiesPassAndTheCallIsStored) {
  std::string seen;
  const TestServer server(always(
      ok(kAnswer,
         "X-B: 1\r\nSet-Cookie: a=1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nx-a:  2 \r\nSet-Cookie: b\r\n"),
      &seen));
  start(server);
  Socket socket = client();
  socket.send(
      post("/v1/chat/completions?x=%20y", kAsk,
           "Authorization: Bearer canary-key\r\nX-Z: 1\r\nConnection: close, X-Mine\r\nX-Mine: 2\r\nx-y: 2\r\n"));
  EXPECT_EQ(socket.all(),
            "HTTP/1.1 200 OK\r\nX-B: 1\r\nSet-Cookie: a=1\r\nx-a: 2\r\nSet-Cookie: b\r\nContent-Length: " +
                std::to_string(kAnswer.size()) + "\r\nConnection: close\r\n\r\n" + kAnswer);
  EXPECT_EQ(seen, "POST /v1/chat/completions?x=%20y HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                      "\r\nAuthorization: Bearer canary-key\r\nX-Z: 1\r\nx-y: 2\r\nContent-Length: " +
                      std::to_string(kAsk.size()) + "\r\n\r\n" + kAsk);
  const auto calls = stored();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(answer_of(calls[0].body)->at("content"), "canary-answer");
  EXPECT_TRUE(calls[0].meta.latency_ms.has_value());
  // The key is nowhere: not in what is stored, nor in any file beside it.
  for (const auto& call : store_.calls) EXPECT_THAT(call.meta + call.body, Not(HasSubstr("canary-key")));
  for (const auto& file : fs::recursive_directory_iterator(dir_))
    if (file.is_regular_file()) {
      EXPECT_THAT(read_file(file.path()).value(), Not(HasSubstr("canary")));
    }
}

TEST_F(ProxyTest, EachReadIsPassedOnBeforeTheNextAndTheBytesAreTheSame) {
  // Pieces of odd sizes, each sent only when the client has the one before.
  std::vector<std::string> pieces;
  for (int i = 0; i < 20; ++i)
    pieces.push_back("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" +
                     std::string(static_cast<size_t>(i * 37 % 101), 'x') + "\"}}]}\n\n");
  pieces.push_back("data: [DONE]\n\n");
  std::atomic<int> n_read{0};
  const TestServer server([&](Socket& socket) {
    read_request(socket);
    socket.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < pieces.size(); ++i) {
      char size[16];
      snprintf(size, sizeof size, "%zx", pieces[i].size());
      socket.send(std::string(size) + "\r\n" + pieces[i] + "\r\n");
      for (int wait = 0; wait < 5000 && n_read <= static_cast<int>(i); ++wait)
        std::this_thread::sleep_for(milliseconds(1));
    }
    socket.send("0\r\n\r\n");
    socket.some();
  });
  start(server);
  Socket socket = client();
  socket.send(post("/v1/chat/completions", kAsk));
  std::string text = socket.until("\r\n\r\n");
  text.erase(0, text.find("\r\n\r\n") + 4);
  for (const auto& piece : pieces) {
    while (text.find(piece) == std::string::npos) {
      const std::string more = socket.some(3000);
      ASSERT_FALSE(more.empty()) << "a piece was held back";
      text += more;
    }
    EXPECT_EQ(text.substr(text.find("\r\n") + 2, piece.size()), piece);
    text.erase(0, text.find(piece) + piece.size() + 2);
    ++n_read;
  }
  EXPECT_EQ(text + (text.ends_with("0\r\n\r\n") ? "" : socket.until("0\r\n\r\n")), "0\r\n\r\n");
  const auto calls = stored();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_TRUE(calls[0].meta.flags.streamed);
  EXPECT_TRUE(calls[0].meta.ttft_ms.has_value());
  EXPECT_FALSE(calls[0].meta.flags.partial);
}

TEST_F(ProxyTest, ConnectionsAreKeptAndPipelinedRequestsAnsweredInOrder) {
  std::atomic<int> n{0};
  const TestServer server([&](Socket& socket) {
    while (!read_request(socket).empty()) socket.send(ok("answer " + std::to_string(++n)));
  });
  start(server);
  Socket socket = client();
  socket.send(post("/a", "1") + post("/b", "2"));
  EXPECT_THAT(socket.until("answer 2"), HasSubstr("answer 1"));
  socket.send("GET /c HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.until("answer 3");
  EXPECT_EQ(server.n_connections(), 1);
  stored();
  EXPECT_EQ(proxy_->counts().unrecorded, 3);
}

TEST_F(ProxyTest, ChunkedRequestsContinuesHeadAndOldClients) {
  std::string seen;
  const TestServer server([&](Socket& socket) {
    for (;;) {
      seen = socket.until("\r\n\r\n");
      if (seen.empty()) return;
      if (seen.starts_with("HEAD")) {
        socket.send("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
        continue;
      }
      if (seen.find("100-continue") != std::string::npos) socket.send("HTTP/1.1 100 Continue\r\n\r\n");
      if (seen.find("chunked") != std::string::npos && !seen.ends_with("0\r\n\r\n")) seen += socket.until("0\r\n\r\n");
      socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n");
    }
  });
  start(server);
  Socket socket = client();
  socket.send("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(socket.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.send("3\r\nabc\r\n0\r\n\r\n");
  EXPECT_EQ(socket.until("X-T: 1\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n");
  EXPECT_THAT(seen, HasSubstr("3\r\nabc\r\n0\r\n\r\n"));
  socket.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(socket.until("\r\n\r\n"), "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
  Socket old = client();
  old.send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.all(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi");
}

TEST_F(ProxyTest, WhatIsRefusedNeverReachesTheProvider) {
  const TestServer server(always(ok("never")));
  options_.head_s = 1;
  start(server);
  const auto answer_to = [&](const std::string& text) {
    Socket socket = client();
    socket.send(text);
    return socket.all().substr(0, 12);
  };
  EXPECT_EQ(answer_to("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "HTTP/1.1 400");
  EXPECT_EQ(answer_to("GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(answer_to("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 405");
  EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40000, 'x')), "HTTP/1.1 431");
  EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
            "HTTP/1.1 501");
  // One byte now and then: the head has a second in all.
  Socket slow = client();
  const auto begun = std::chrono::steady_clock::now();
  bool open = true;
  for (int i = 0; i < 60 && open; ++i) {
    open = slow.send("G");
    pollfd ready{slow.fd(), POLLIN, 0};
    if (poll(&ready, 1, 100) > 0) open = !slow.some(0).empty();
  }
  EXPECT_FALSE(open);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
  EXPECT_EQ(server.n_connections(), 0);
}

TEST_F(ProxyTest, AProviderThatBreaksOffIsSeenByTheClientAndRecordedAsPartial) {
  const TestServer server([](Socket& socket) {
    read_request(socket);
    socket.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string piece = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n";
    char size[16];
    snprintf(size, sizeof size, "%zx", piece.size());
    socket.send(std::string(size) + "\r\n" + piece + "\r\n");
  });
  start(server);
  Socket socket = client();
  socket.send(post("/v1/chat/completions", kAsk));
  const std::string text = socket.all();
  EXPECT_THAT(text, HasSubstr("Hel"));
  EXPECT_FALSE(text.ends_with("0\r\n\r\n")) << "an end that the provider never sent";
  const auto calls = stored();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_TRUE(calls[0].meta.flags.partial);
  EXPECT_EQ(answer_of(calls[0].body)->at("content"), "Hel");
}

TEST_F(ProxyTest, NothingIsRetriedAndAProviderThatIsAwayIsA502) {
  std::atomic<int> n_requests{0};
  const TestServer server([&](Socket& socket) {
    read_request(socket);
    ++n_requests;
  });
  start(server);
  Socket socket = client();
  socket.send(post("/v1/chat/completions", kAsk));
  EXPECT_THAT(socket.all(), HasSubstr("HTTP/1.1 502"));
  EXPECT_EQ(n_requests, 1);
  const auto calls = stored();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_TRUE(calls[0].meta.flags.failed);
}

TEST_F(ProxyTest, AnUpstreamThatSpeaksTheOtherOneIsNamed) {
  const TestServer tls([](Socket& socket) {
    read_request(socket);
    socket.send(std::string("\x15\x03\x01\x00\x02\x02\x16", 7));
  });
  start(tls);
  const Socket asking = client();
  asking.send(post("/v1/chat/completions", kAsk));
  EXPECT_THAT(asking.all(), HasSubstr("the upstream speaks TLS: its URL begins with https"));

  const TestServer plain([](Socket& socket) {
    socket.some();
    socket.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  });
  std::string url = plain.url();
  ProxyOptions options;
  options.upstreams.push_back(parse_upstream(url.replace(0, 4, "https")).value());
  const auto made = Proxy::start(options, store_);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  EXPECT_THAT(made.error().message, HasSubstr("answers TLS with something else"));
  EXPECT_THAT(made.error().hint, HasSubstr("http://"));
}

TEST_F(ProxyTest, AClientThatLeavesEndsTheProvidersWork) {
  std::atomic<bool> ended{false};
  const TestServer server([&](Socket& socket) {
    read_request(socket);
    ended = socket.some(5000).empty();
  });
  start(server);
  {
    Socket socket = client();
    socket.send(post("/v1/chat/completions", kAsk));
    std::this_thread::sleep_for(milliseconds(100));
  }
  for (int i = 0; i < 300 && !ended; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_TRUE(ended);
  const auto calls = stored();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_TRUE(calls[0].meta.flags.partial);
}

TEST_F(ProxyTest, DurableHoldsTheLastBytesUntilTheCommit) {
  const TestServer server(always(ok(kAnswer)));
  options_.recorder.durability = Durability::kDurable;
  start(server);
  Socket socket = client();
  for (int i = 1; i <= 5; ++i) {
    socket.send(post("/v1/chat/completions", kAsk));
    socket.until("canary-answer\"},\"finish_reason\":\"stop\"}]}");
    EXPECT_EQ(store_.n_committed(), i) << "acknowledged before it was stored";
  }
}

TEST_F(ProxyTest, OnStoreFailure) {
  const TestServer server(always(ok(kAnswer)));
  store_.fail_adds = true;
  {  // open: calls pass, and are counted when they are given up
    options_.recorder.durability = Durability::kDurable;
    start(server);
    Socket socket = client();
    socket.send(post("/v1/chat/completions", kAsk, "Connection: close\r\n"));
    EXPECT_THAT(socket.all(), HasSubstr("canary-answer"));
    EXPECT_FALSE(proxy_->drain().has_value());
    EXPECT_EQ(proxy_->recorder().counts().missed, 1);
    proxy_.reset();
  }
  {  // closed: what is under way isn't acknowledged, what comes is turned away, and what waited is stored when it can
     // be
    options_.recorder.on_failure = OnStoreFailure::kClosed;
    start();
    Socket first = client();
    first.send(post("/v1/chat/completions", kAsk));
    EXPECT_THAT(first.all(), Not(HasSubstr("canary-answer")));
    Socket second = client();
    second.send(post("/v1/chat/completions", kAsk));
    EXPECT_THAT(second.all(), HasSubstr("HTTP/1.1 503"));
    Socket other = client();
    other.send(post("/v1/audio", "x", "Connection: close\r\n"));
    EXPECT_THAT(other.all(), HasSubstr("canary-answer")) << "what isn't recorded passes";
    store_.fail_adds = false;
    for (int i = 0; i < 300 && !proxy_->recorder().admits(); ++i) std::this_thread::sleep_for(milliseconds(10));
    EXPECT_TRUE(proxy_->recorder().admits());
    EXPECT_EQ(stored().size(), 1u);
  }
}

TEST_F(ProxyTest, ARequestWhoseMarkDoesntReachTheDiskIsntForwardedAsIfItHad) {
  std::atomic<int> n_requests{0};
  const TestServer server([&](Socket& socket) {
    while (!read_request(socket).empty()) {
      ++n_requests;
      socket.send(ok(kAnswer));
    }
  });
  std::atomic<bool> disk_fails{true};
  options_.recorder.durability = Durability::kDurable;
  options_.recorder.sync_marks = [&]() -> Status {
    if (disk_fails) return fail(ErrorCode::kIo, "the marks of calls begun can't be written");
    return {};
  };
  const auto ask = [&] {
    Socket socket = client();
    socket.send(post("/v1/chat/completions", kAsk, "Connection: close\r\n"));
    return socket.all();
  };
  options_.recorder.on_failure = OnStoreFailure::kClosed;
  start(server);
  EXPECT_THAT(ask(), HasSubstr("HTTP/1.1 503"));
  EXPECT_EQ(n_requests, 0);
  EXPECT_EQ(proxy_->counts().turned_away, 1);
  EXPECT_EQ(proxy_->recorder().counts().begun, 0);
  disk_fails = false;  // the next request finds out
  EXPECT_THAT(ask(), HasSubstr("canary-answer"));
  EXPECT_EQ(proxy_->recorder().counts().unmarked, 0);
  EXPECT_EQ(stored().size(), 1u);
  proxy_.reset();
  start();  // nothing that was turned away is reported as lost
  EXPECT_EQ(proxy_->recorder().counts().lost_before, 0);
  EXPECT_TRUE(proxy_->drain().has_value());
  proxy_.reset();

  disk_fails = true;
  options_.recorder.on_failure = OnStoreFailure::kOpen;
  start();
  EXPECT_THAT(ask(), HasSubstr("canary-answer"));
  EXPECT_EQ(proxy_->recorder().counts().unmarked, 1);
  EXPECT_EQ(stored().size(), 2u);
  EXPECT_THAT(prometheus_text(proxy_->counts(), proxy_->recorder()), HasSubstr("slmconv_calls_unmarked_total 1\n"));
}

TEST_F(ProxyTest, RoutesExclusionsAndSeveralUpstreams) {
  std::string seen_a, seen_b;
  const TestServer a(always(ok(kAnswer), &seen_a)), b(always(ok(kAnswer), &seen_b));
  options_.upstreams.push_back(parse_upstream("/a=" + a.url() + "/base").value());
  options_.upstreams.push_back(parse_upstream("/a/deep=" + b.url()).value());
  options_.human_routes = {"/a/chat-ui"};
  options_.session_header = "X-Session";
  start();
  Socket socket = client();
  socket.send(post("/a/v1/chat/completions", kAsk, "x-session: s1\r\n"));
  socket.until("stop\"}]}");
  EXPECT_THAT(seen_a, HasSubstr("POST /base/v1/chat/completions "));
  socket.send(post("/a/deep/v1/chat/completions", kAsk));
  socket.until("stop\"}]}");
  EXPECT_THAT(seen_b, HasSubstr("POST /v1/chat/completions "));
  socket.send(post("/a/chat-ui/v1/chat/completions", kAsk));
  socket.until("stop\"}]}");
  socket.send(post("/another", kAsk));
  EXPECT_THAT(socket.all(), HasSubstr("404"));
  const auto calls = stored();
  EXPECT_EQ(calls.size(), 2u);
  EXPECT_EQ(proxy_->counts().excluded, 1);
  EXPECT_TRUE(calls[0].meta.session.starts_with("ses_"));
}

TEST_F(ProxyTest, AListenerThatOthersReachNeedsTlsAndAuthentication) {
  options_.upstreams.push_back(parse_upstream("http://127.0.0.1:9").value());
  options_.listen.host = "0.0.0.0";
  const auto made = Proxy::start(options_, store_);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, ErrorCode::kUsage);
}

TEST_F(ProxyTest, ATokenOfTheProxysOwnIsAskedForAndNotPassedOn) {
  std::string seen;
  const TestServer server(always(ok(kAnswer), &seen));
  options_.token_file = dir_ / "tokens";
  ASSERT_TRUE(write_file_atomic(options_.token_file, "# agents\n0123456789abcdef0123\n").has_value());
  start(server);
  Socket without = client();
  without.send(post("/v1/chat/completions", kAsk));
  EXPECT_THAT(without.all(), HasSubstr("HTTP/1.1 407"));
  Socket with = client();
  with.send(
      post("/v1/chat/completions", kAsk, "Proxy-Authorization: Bearer 0123456789abcdef0123\r\nConnection: close\r\n"));
  EXPECT_THAT(with.all(), HasSubstr("canary-answer"));
  EXPECT_THAT(seen, Not(HasSubstr("0123456789abcdef")));
}

TEST_F(ProxyTest, DrainLetsWhatIsUnderWayEnd) {
  const TestServer server([](Socket& socket) {
    read_request(socket);
    std::this_thread::sleep_for(milliseconds(300));
    socket.send(ok(kAnswer));
    socket.some();
  });
  start(server);
  Socket socket = client(), idle = client();
  socket.send(post("/v1/chat/completions", kAsk));
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(stored().size(), 1u);
  EXPECT_THAT(socket.all(), HasSubstr("canary-answer"));
  EXPECT_TRUE(idle.all().empty());
}

TEST_F(ProxyTest, AdminSaysHowItGoes) {
  const TestServer server(always(ok(kAnswer)));
  options_.admin = http::Address{};
  start(server);
  const auto get = [&](const std::string& path) {
    Socket socket = Socket::to(proxy_->admin_port());
    socket.send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return socket.all();
  };
  EXPECT_THAT(get("/health"), HasSubstr("200 OK"));
  EXPECT_THAT(get("/metrics"), HasSubstr("# TYPE slmconv_calls_stored_total counter\nslmconv_calls_stored_total 0\n"));
  EXPECT_THAT(get("/other"), HasSubstr("404"));
  options_.admin->host = "0.0.0.0";
  EXPECT_FALSE(Proxy::start(options_, store_).has_value());
}

}  // namespace
}  // namespace slm::collect
