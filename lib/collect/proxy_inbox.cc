#include "collect/proxy_inbox.h"

#include <fmt/format.h>

namespace slm::collect {

void append_chunk(std::string& out, std::string_view piece) {
  out += fmt::format("{:x}\r\n", piece.size());
  out += piece;
  out += "\r\n";
}
void append_last_chunk(std::string& out, const std::vector<http::Field>& trailers) {
  out += "0\r\n";
  for (const auto& field : trailers) out += fmt::format("{}: {}\r\n", field.name, field.value);
  out += "\r\n";
}

}  // namespace slm::collect
