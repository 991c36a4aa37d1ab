// Servers and dialled connections, plain and TLS: what is served, what is bounded, who is believed.
#include "http/net.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "http/certificates.h"
#include "http/coding.h"
#include "http/server.h"
#include "support/sockets.h"

namespace slm::http {
namespace {

using slm::testing::Certificate;
using slm::testing::make_certificate;
using slm::testing::Socket;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

Handler echo() {
  return [](Request request, const Answer& answer) {
    Response response;
    response.body = request.head.method + " " + request.head.target + " " + request.body + " " + request.peer_name;
    answer(std::move(response));
  };
}
std::string post(const std::string& body, const std::string& fields = "Connection: close\r\n") {
  return "POST /x HTTP/1.1\r\nHost: a\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

class NetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("slm_net_test_" + std::to_string(getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  // Dials, sends a request and gives the answer, or the error.
  Result<std::string> ask(uint16_t port, const TlsContext& tls, const std::string& host = "127.0.0.1") {
    auto promise = std::make_shared<std::promise<Result<std::string>>>();
    auto future = promise->get_future();
    auto text = std::make_shared<std::string>();
    auto buffer = std::make_shared<std::array<char, 4096>>();
    dialer_ = Dialer::make(loops_.at(0), {host, port, tls, 5});
    loops_.at(0).post([=, this] {
      dialer_->dial([=](Result<ChannelPtr> made) {
        if (!made) return promise->set_value(fail(made.error()));
        const ChannelPtr channel = *made;
        channel->write(post("hello"), [=](IoEnd, size_t) {
          const auto read = std::make_shared<std::function<void()>>();
          *read = [=] {
            channel->read(*buffer, [=](IoEnd end, size_t n) {
              text->append(buffer->data(), n);
              if (end == IoEnd::kOk) return (*read)();
              channel->close();
              promise->set_value(*text);
              *read = nullptr;
            });
          };
          (*read)();
        });
      });
    });
    return future.get();
  }

  fs::path dir_;
  Loops loops_{2};
  std::shared_ptr<Dialer> dialer_;
};

TEST_F(NetTest, ServesWholeRequests) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  options.head_s = options.body_s = 1;
  const auto server = Server::open(loops_, options, echo());
  ASSERT_TRUE(server.has_value()) << server.error().message;
  const auto answer_to = [&](const std::string& text) {
    Socket socket = Socket::to((*server)->port());
    socket.send(text);
    return socket.all();
  };
  EXPECT_THAT(answer_to(post("a")), HasSubstr("200 OK"));
  Socket kept = Socket::to((*server)->port());
  kept.send(post("first", "") + post("second"));
  EXPECT_THAT(kept.all(), HasSubstr("POST /x second"));
  const std::string packed = gzip(std::string(5000, 'z')).value();
  EXPECT_THAT(answer_to(post(packed, "Content-Encoding: gzip\r\nConnection: close\r\n")),
              HasSubstr(std::string(5000, 'z')));
  EXPECT_THAT(answer_to(post("not gzip", "Content-Encoding: gzip\r\n")), HasSubstr("400 Bad Request"));
  EXPECT_THAT(answer_to(post(std::string(1001, 'x'))), HasSubstr("413"));
  EXPECT_THAT(answer_to("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" +
                        std::string(0x400, 'x') + "\r\n0\r\n\r\n"),
              HasSubstr("413"));
  EXPECT_THAT(
      answer_to(
          "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"),
      HasSubstr("100 Continue\r\n\r\nHTTP/1.1 200"));
  EXPECT_EQ(answer_to("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"), "")
      << "half a body isn't waited for";
}

TEST_F(NetTest, TlsIsVerifiedOnBothSides) {
  const Certificate ca = make_certificate(dir_, "test-ca", nullptr),
                    other_ca = make_certificate(dir_, "other-ca", nullptr);
  const Certificate server_cert = make_certificate(dir_, "127.0.0.1", &ca),
                    wrong_name = make_certificate(dir_, "elsewhere.example", &ca);
  const Certificate client_cert = make_certificate(dir_, "agent-7", &ca);
  const auto serve = [&](const Certificate& certificate, const fs::path& client_ca) {
    ServerOptions options;
    options.listen.tls = tls_server({certificate.certificate_file, certificate.key_file, client_ca}).value();
    return Server::open(loops_, options, echo()).value();
  };
  const auto trusting = tls_client({ca.certificate_file, {}, {}}).value();
  const auto server = serve(server_cert, {});
  const auto good = ask(server->port(), trusting);
  ASSERT_TRUE(good.has_value()) << good.error().message;
  EXPECT_THAT(*good, HasSubstr("POST /x hello"));

  const auto untrusted = ask(server->port(), tls_client({other_ca.certificate_file, {}, {}}).value());
  ASSERT_FALSE(untrusted.has_value());
  EXPECT_EQ(untrusted.error().code, ErrorCode::kIntegrity);
  EXPECT_FALSE(ask(server->port(), tls_client({}).value()).has_value()) << "the system doesn't know this authority";
  const auto misnamed = ask(serve(wrong_name, {})->port(), trusting);
  ASSERT_FALSE(misnamed.has_value());
  EXPECT_EQ(misnamed.error().code, ErrorCode::kIntegrity);

  const auto strict = serve(server_cert, ca.certificate_file);
  const auto nobody = ask(strict->port(), trusting);
  EXPECT_TRUE(!nobody.has_value() || nobody->empty());
  const auto known = ask(strict->port(),
                         tls_client({ca.certificate_file, client_cert.certificate_file, client_cert.key_file}).value());
  ASSERT_TRUE(known.has_value()) << known.error().message;
  EXPECT_THAT(*known, HasSubstr("hello agent-7"));
}

TEST_F(NetTest, AServerThatSpeaksOnlyALaterVersionIsToldApart) {
  const Certificate ca = make_certificate(dir_, "test-ca", nullptr);
  const Certificate certificate = make_certificate(dir_, "127.0.0.1", &ca);
  ServerOptions options;
  options.listen.tls = tls_server({certificate.certificate_file, certificate.key_file, {}}).value();
  const auto only_h2 = [](SSL*, const unsigned char** out, unsigned char* n, const unsigned char* in, unsigned in_n,
                          void*) {
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, n, reinterpret_cast<const unsigned char*>("\x02h2"), 3, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
      return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
  };
  SSL_CTX_set_alpn_select_cb(options.listen.tls.native.get(), only_h2, nullptr);
  const auto server = Server::open(loops_, options, echo()).value();
  const auto refused = ask(server->port(), tls_client({ca.certificate_file, {}, {}}).value());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
}

TEST_F(NetTest, WhoSpeaksTheOtherOneIsTold) {
  const Certificate ca = make_certificate(dir_, "test-ca", nullptr);
  const Certificate certificate = make_certificate(dir_, "127.0.0.1", &ca);
  ServerOptions options;
  options.listen.tls = tls_server({certificate.certificate_file, certificate.key_file, {}}).value();
  const auto with_tls = Server::open(loops_, options, echo()).value();
  const Socket plain = Socket::to(with_tls->port());
  plain.send(post("hello"));
  const std::string told = plain.all();
  EXPECT_TRUE(told.starts_with("HTTP/1.1 400")) << told;
  EXPECT_TRUE(told.ends_with("\r\n\r\nthis port speaks TLS: use https\r\n")) << told;

  const auto without = Server::open(loops_, {}, echo()).value();
  const auto answer = ask(without->port(), tls_client({ca.certificate_file, {}, {}}).value());
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kUsage);
  EXPECT_THAT(answer.error().message, HasSubstr("answers TLS with something else"));
  const Socket hello = Socket::to(without->port());
  hello.send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_THAT(hello.all(), HasSubstr("this port speaks no TLS: use http")) << "before the record is over";
}

TEST(Url, ReadsUpstreamsAndAddresses) {
  const Url url = parse_url("https://api.example:8443/base/v1/").value();
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.host, "api.example");
  EXPECT_EQ(url.path, "/base/v1");
  EXPECT_EQ(url.authority(), "api.example:8443");
  EXPECT_EQ(parse_url("http://[::1]").value().authority(), "[::1]");
  for (const char* bad : {"api.example", "ftp://a", "http://", "http://a:0", "http://a:70000", "http://a/?q=1",
                          "http://a b/", "http://:80"})
    EXPECT_FALSE(parse_url(bad).has_value()) << bad;
  const auto secret = parse_url("https://user:canary@a/");
  ASSERT_FALSE(secret.has_value());
  EXPECT_EQ(secret.error().message.find("canary"), std::string::npos);
  EXPECT_EQ(parse_address(":8080").value().host, "127.0.0.1");
  EXPECT_EQ(parse_address("[::1]:80").value().host, "::1");
  EXPECT_FALSE(parse_address("8080").has_value());
  EXPECT_FALSE(parse_address("localhost").has_value());
  EXPECT_FALSE(is_loopback(parse_address("0.0.0.0:1").value()));
  EXPECT_FALSE(is_loopback(parse_address("127.example.com:1").value()));
  EXPECT_TRUE(is_loopback(parse_address("127.0.0.2:1").value()));
}

}  // namespace
}  // namespace slm::http
