// libFuzzer target: bytes as a request and as a response, whole and in pieces: the same message, the same body, the
// same refusal; and a request that isn't refused is framed in one way only.
#include <cstdint>
#include <string>

#include "http/coding.h"
#include "http/parser.h"

namespace {

using slm::http::MessageParser;

std::string read_in(MessageParser::Kind kind, std::string_view text, size_t n) {
  MessageParser parser(kind, 4096);
  std::string waiting, body;
  for (size_t at = 0; at < text.size() && !parser.done(); at += n) {
    waiting += text.substr(at, n);
    for (;;) {
      std::vector<std::string_view> pieces;
      const auto taken = parser.feed(waiting, pieces);
      if (!taken) return "refused";
      if (*taken > waiting.size()) __builtin_trap();
      for (const auto piece : pieces) body += piece;
      waiting.erase(0, *taken);
      if (*taken == 0 || waiting.empty() || parser.done()) break;
    }
  }
  if (!parser.has_head()) return "no head";
  slm::http::Head& head = parser.head();
  if (kind == MessageParser::Kind::kRequest) {
    const size_t n_lengths = count(head, "Content-Length"), n_codings = count(head, "Transfer-Encoding");
    if (n_lengths + n_codings > 1 || head.target.front() != '/' || head.method == "CONNECT") __builtin_trap();
  }
  drop_hop_by_hop(head);
  std::string out;
  append_request(out, head);
  return out + body + (parser.done() ? "done" : "more");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const auto kind : {MessageParser::Kind::kRequest, MessageParser::Kind::kResponse})
    if (read_in(kind, text, text.size()) != read_in(kind, text, 1 + data[0] % 16)) __builtin_trap();
  static constexpr const char* kCodings[] = {"gzip", "deflate", "br", "zstd"};
  (void)slm::http::decode(kCodings[data[0] % 4], text, {.max_bytes = 1 << 16, .partial = data[0] >= 128});
  return 0;
}
