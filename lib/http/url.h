// Where to listen and whom to call.
//
// Errors: kUsage, naming what is wrong with which text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace slm::http {

struct Url {
  bool tls = false;
  std::string host;  // without brackets
  uint16_t port = 80;
  std::string path;  // "" or "/…" without a slash at its end
  // As a Host field says it: the port only where it isn't the scheme's own.
  std::string authority() const;
};
// http:// or https://, no user, no query, no fragment.
Result<Url> parse_url(std::string_view text);

struct Address {
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0: any that is free
};
// "HOST:PORT", ":PORT" (loopback) or "[V6]:PORT".
Result<Address> parse_address(std::string_view text);
// Reaches this machine only: 127.0.0.0/8, ::1, localhost.
bool is_loopback(const Address& address);

}  // namespace slm::http
