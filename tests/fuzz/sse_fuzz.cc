// libFuzzer target: a stream of events, whole and cut at every place that the first byte names, must be read the same.
#include <cstdint>
#include <string>

#include "http/sse.h"

namespace {

std::string read_in(std::string_view text, size_t n) {
  std::string out;
  slm::http::SseParser parser(1 << 14);
  for (size_t at = 0; at < text.size(); at += n)
    parser.feed(text.substr(at, n), [&](const slm::http::SseEvent& event) {
      if (event.end > text.size()) __builtin_trap();
      out += std::to_string(event.end) + "\n";
      out += event.name;
      out += "\n";
      out += event.data;
      out += "\n";
    });
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  // A line end may be one byte further on where CR and LF come apart: ends are compared by the whole text only.
  const std::string whole = read_in(text, text.size());
  const std::string pieces = read_in(text, 1 + data[0] % 16);
  if (text.find('\r') == std::string_view::npos && text.size() < (1 << 14) && whole != pieces) __builtin_trap();
  return 0;
}
