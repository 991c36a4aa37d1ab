// Server-sent events, as the WHATWG specification reads them.
#include "http/sse.h"

#include <gtest/gtest.h>

#include <vector>

namespace slm::http {
namespace {

struct Seen {
  std::string name, data;
  uint64_t end;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> read_in(std::string_view text, size_t n) {
  std::vector<Seen> out;
  SseParser parser;
  for (size_t at = 0; at < text.size(); at += n)
    parser.feed(text.substr(at, n), [&](const SseEvent& event) {
      out.push_back({std::string(event.name), std::string(event.data), event.end});
    });
  return out;
}

TEST(Sse, ReadsTheSpecificationsExamplesHoweverTheyArrive) {
  // 9.2.6: a comment, two data lines, an event with a name, "data" without colon, a space kept after the first.
  const std::string text =
      "\xef\xbb\xbf: test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
      "event: add\rdata: 73857293\r\rdata\n\ndata\ndata\n\ndata: YHOO\r\ndata: +2\r\ndata: 10\r\n\r\ndata: "
      "unfinished\n";
  const std::vector<Seen> all = read_in(text, text.size());
  ASSERT_EQ(all.size(), 7u);
  EXPECT_EQ(all[0].data, "first event");
  EXPECT_EQ(all[1].data, "second event");
  EXPECT_EQ(all[2].data, " third event");
  EXPECT_EQ(all[3].name, "add");
  EXPECT_EQ(all[3].data, "73857293");
  EXPECT_EQ(all[4].data, "");
  EXPECT_EQ(all[5].data, "\n");
  EXPECT_EQ(all[6].data, "YHOO\n+2\n10");
  EXPECT_EQ(all[0].end, text.find("data:second"));
  for (size_t n = 1; n < 20; ++n) {
    auto pieces = read_in(text, n);
    ASSERT_EQ(pieces.size(), all.size()) << n;
    for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(pieces[i].data, all[i].data) << n;
  }
}

TEST(Sse, ABoundedEventEndsTheReading) {
  SseParser parser(100);
  int n_events = 0;
  const auto count = [&](const SseEvent&) { ++n_events; };
  parser.feed("data: a\n\n", count);
  parser.feed("data: " + std::string(200, 'x') + "\n\ndata: b\n\n", count);
  EXPECT_TRUE(parser.overflow());
  parser.feed("data: c\n\n", count);
  EXPECT_EQ(n_events, 1);
}

}  // namespace
}  // namespace slm::http
