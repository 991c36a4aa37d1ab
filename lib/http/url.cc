#include "http/url.h"

#include <fmt/format.h>

#include <charconv>

namespace slm::http {

namespace {

bool read_port(std::string_view text, uint16_t& port) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  return ec == std::errc{} && end == text.data() + text.size();
}

bool is_host(std::string_view host) {
  if (host.empty() || host.size() > 255) return false;
  for (const char c : host)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
          c == '_' || c == ':' || c == '%'))
      return false;
  return true;
}

// HOST[:PORT] or [V6][:PORT]; `port` stays as it is where none is given.
bool read_authority(std::string_view text, std::string& host, uint16_t& port) {
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    host = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
    if (!text.empty() && text.front() != ':') return false;
  } else {
    const size_t colon = text.find(':');
    host = text.substr(0, colon);
    text.remove_prefix(colon == std::string_view::npos ? text.size() : colon);
    if (host.find(':') != std::string::npos) return false;
  }
  return text.empty() || read_port(text.substr(1), port);
}

}  // namespace

std::string Url::authority() const {
  std::string out = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (tls ? 443 : 80)) out += fmt::format(":{}", port);
  return out;
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::kUsage, fmt::format("\"{}\": {}", text, why),
                "an upstream is http://HOST[:PORT][/PATH] or https://…");
  };
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    url.tls = true;
    url.port = 443;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return bad("neither http:// nor https://");
  }
  const size_t slash = rest.find('/');
  const std::string_view authority = rest.substr(0, slash);
  // What stands before an @ could be a password, which has no place on a command line.
  if (authority.find('@') != std::string_view::npos)
    return fail(ErrorCode::kUsage, "an upstream's URL holds no user or password");
  if (!read_authority(authority, url.host, url.port) || !is_host(url.host) || url.port == 0)
    return bad("no such host or port");
  if (slash != std::string_view::npos) url.path = rest.substr(slash);
  while (url.path.ends_with('/')) url.path.pop_back();
  for (const char c : url.path)
    if (static_cast<unsigned char>(c) <= 0x20 || c == '?' || c == '#' || c == '\\')
      return bad("a path without query and blanks is needed");
  return url;
}

Result<Address> parse_address(std::string_view text) {
  Address address;
  const auto bad = [&] {
    return fail(ErrorCode::kUsage, fmt::format("\"{}\" is no address to listen at", text),
                "HOST:PORT, :PORT or [::1]:PORT");
  };
  if (text.starts_with(':')) {
    if (!read_port(text.substr(1), address.port)) return bad();
    return address;
  }
  const bool has_port =
      text.starts_with('[') ? text.find("]:") != std::string_view::npos : text.find(':') != std::string_view::npos;
  if (!has_port || !read_authority(text, address.host, address.port) || !is_host(address.host)) return bad();
  return address;
}

bool is_loopback(const Address& address) {
  return address.host == "localhost" || address.host == "::1" ||
         (address.host.starts_with("127.") && address.host.find_first_not_of("0123456789.") == std::string::npos);
}

}  // namespace slm::http
