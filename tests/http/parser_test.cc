// Messages out of bytes: framing, order, and what is refused.
#include "http/parser.h"

#include <gtest/gtest.h>

namespace slm::http {
namespace {

struct Read {
  int status = 0;  // of the refusal; -1: an error without one
  std::string body;
  bool done = false;
  Head head;
  std::vector<Field> trailers;
  size_t left = 0;
};

// In pieces of n bytes; what isn't taken is offered again with the next piece.
Read read_in(MessageParser::Kind kind, std::string_view text, size_t n, size_t max_head = kDefaultMaxHeadBytes) {
  MessageParser parser(kind, max_head);
  Read out;
  std::string waiting;
  for (size_t at = 0; at < text.size() && !parser.done(); at += n) {
    waiting += text.substr(at, n);
    for (;;) {
      std::vector<std::string_view> pieces;
      const auto taken = parser.feed(waiting, pieces);
      if (!taken) {
        out.status = parser.refusal().status != 0 ? parser.refusal().status : -1;
        return out;
      }
      for (const auto piece : pieces) out.body += piece;
      waiting.erase(0, *taken);
      if (*taken == 0 || waiting.empty() || parser.done()) break;
    }
  }
  out.done = parser.done();
  out.head = parser.head();
  out.trailers = parser.trailers();
  out.left = waiting.size();
  return out;
}

int refused(std::string_view text) {
  int status = read_in(MessageParser::Kind::kRequest, text, text.size()).status;
  // However it arrives, it is refused.
  for (const size_t n : {1, 3, 7}) EXPECT_EQ(read_in(MessageParser::Kind::kRequest, text, n).status, status) << text;
  return status;
}

TEST(Parser, ReadsARequestHoweverItArrives) {
  const std::string text =
      "POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nX-One: 2\r\nx-two:   3  \r\nContent-Length: 5\r\n\r\nhello";
  for (size_t n = 1; n <= text.size(); ++n) {
    const Read r = read_in(MessageParser::Kind::kRequest, text, n);
    ASSERT_EQ(r.status, 0) << n;
    EXPECT_TRUE(r.done);
    EXPECT_EQ(r.body, "hello");
    EXPECT_EQ(r.head.method, "POST");
    EXPECT_EQ(r.head.target, "/v1/x?y=1");
    ASSERT_EQ(r.head.fields.size(), 5u);
    EXPECT_EQ(r.head.fields[1].name, "X-Two");
    EXPECT_EQ(r.head.fields[2].name, "X-One");
    EXPECT_EQ(r.head.fields[3].name, "x-two");
    EXPECT_EQ(r.head.fields[3].value, "3");
  }
}

TEST(Parser, ReadsChunksAndTrailers) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-T: "
      "9\r\n\r\n";
  for (size_t n = 1; n <= text.size(); ++n) {
    const Read r = read_in(MessageParser::Kind::kResponse, text, n);
    ASSERT_EQ(r.status, 0) << n;
    EXPECT_TRUE(r.done) << n;
    EXPECT_EQ(r.body, "hello world");
    ASSERT_EQ(r.trailers.size(), 1u);
    EXPECT_EQ(r.trailers[0].value, "9");
    EXPECT_EQ(r.head.fields.size(), 1u);
  }
}

TEST(Parser, StopsAtTheEndOfAMessage) {
  const Read r = read_in(MessageParser::Kind::kRequest,
                         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabGET /next HTTP/1.1\r\n", 1000);
  EXPECT_TRUE(r.done);
  EXPECT_EQ(r.body, "ab");
  EXPECT_EQ(r.left, 20u);
}

TEST(Parser, AResponseWithoutLengthEndsWithItsConnection) {
  MessageParser parser(MessageParser::Kind::kResponse);
  std::vector<std::string_view> pieces;
  const std::string_view text = "HTTP/1.1 200 OK\r\n\r\nabc";
  size_t at = 0;
  while (at < text.size()) at += parser.feed(text.substr(at), pieces).value();
  EXPECT_FALSE(parser.done());
  EXPECT_TRUE(parser.until_close());
  EXPECT_TRUE(parser.end_of_stream().has_value());
  EXPECT_TRUE(parser.done());

  MessageParser cut(MessageParser::Kind::kResponse);
  const std::string_view half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
  at = 0;
  while (at < half.size()) at += cut.feed(half.substr(at), pieces).value();
  EXPECT_FALSE(cut.end_of_stream().has_value());
}

TEST(Parser, RefusesWhatASmugglerWouldSend) {
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n", post = "POST / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(refused(post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"), 400);
  EXPECT_EQ(refused(post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc"), 400);
  EXPECT_EQ(refused(post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), 400);
  EXPECT_EQ(refused(post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 400);
  EXPECT_EQ(refused(post + "Content-Length: 3, 3\r\n\r\nabc"), 400);
  EXPECT_EQ(refused(post + "Content-Length: +3\r\n\r\nabc"), 400);
  EXPECT_EQ(refused(post + "Content-Length: 0x3\r\n\r\nabc"), 400);
  EXPECT_EQ(refused(post + "Content-Length : 3\r\n\r\nabc"), 400);
  EXPECT_EQ(refused(post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"), 400);
  EXPECT_EQ(refused(post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501);
  EXPECT_EQ(refused(post + "Transfer-Encoding: xchunked\r\n\r\n"), 501);
  EXPECT_EQ(refused(get + "X: a\r\n b\r\n\r\n"), 400);
  EXPECT_EQ(refused(get + "X: a\r\n\tb\r\n\r\n"), 400);
  EXPECT_EQ(refused(get + "X: a\nY: b\r\n\r\n"), 400);
  EXPECT_EQ(refused(get + "X: a\rb\r\n\r\n"), 400);
  EXPECT_EQ(refused(get + std::string("X: a\0b\r\n\r\n", 10)), 400);
  EXPECT_EQ(refused("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused("GET //b/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused("CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
  EXPECT_EQ(refused("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(refused("nonsense\r\n\r\n"), 400);
}

TEST(Parser, RefusesALargeHeadBeforeItIsOver) {
  std::string text = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  text += std::string(5000, 'x');
  EXPECT_EQ(read_in(MessageParser::Kind::kRequest, text, 100, 4096).status, 431);
  text += "\r\n\r\n";
  EXPECT_EQ(read_in(MessageParser::Kind::kRequest, text, text.size(), 4096).status, 431);
}

TEST(Parser, RefusesAChunkLineWithoutEnd) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(refused(head + "1;" + std::string(40000, 'x')), 400);
  EXPECT_EQ(refused(head + "0\r\nX: " + std::string(40000, 'x')), 400);
}

TEST(Message, DropsWhatConcernsOneConnection) {
  Head head;
  head.fields = {{"Host", "a"},           {"Connection", "X-Hop, keep-alive, Host, content-length"},
                 {"X-Hop", "1"},          {"Keep-Alive", "5"},
                 {"Authorization", "b"},  {"Proxy-Authorization", "c"},
                 {"TE", "trailers"},      {"Upgrade", "h2c"},
                 {"Content-Length", "3"}, {"Transfer-Encoding", "chunked"},
                 {"X-Last", "z"}};
  drop_hop_by_hop(head);
  std::string names;
  for (const Field& field : head.fields) names += field.name + " ";
  EXPECT_EQ(names, "Host Authorization Content-Length X-Last ");
}

}  // namespace
}  // namespace slm::http
