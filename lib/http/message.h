// HTTP/1.1 messages as a proxy sees them: fields with their names, values and order as they came.
//
// Source: RFC 9110 (fields, hop-by-hop), RFC 9112 (framing).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace slm::http {

struct Field {
  std::string name, value;
};

// A request's or a response's first line and fields.
struct Head {
  std::string method, target;  // of a request
  int status = 0;              // of a response
  std::string reason;
  int minor = 1;  // HTTP/1.minor
  std::vector<Field> fields;
};

bool same_name(std::string_view a, std::string_view b);  // without regard to case
// Value of the first field of that name; nullptr if there is none.
const std::string* find(const Head& head, std::string_view name);
std::string_view value_of(const Head& head, std::string_view name);  // "" if there is none
size_t count(const Head& head, std::string_view name);
// Whether a field that is a list of tokens, in one line or several, holds `token`.
bool has_token(const Head& head, std::string_view name, std::string_view token);
// Whether the connection may carry another message after this one.
bool keeps_alive(const Head& head);

// Removes what concerns one connection only: Connection and the fields it names, Keep-Alive, Proxy-Connection,
// Proxy-Authorization, Proxy-Authenticate, TE, Transfer-Encoding, Upgrade. Host and Content-Length stay, whatever
// Connection names.
void drop_hop_by_hop(Head& head);
void set(Head& head, std::string_view name, std::string_view value);  // replaces the first, else appends
void append_request(std::string& out, const Head& head);              // up to and with the empty line
void append_response(std::string& out, const Head& head);

// A request that is refused: status and why, or status 0.
struct Refusal {
  int status = 0;
  std::string_view why;
};
// What a proxy must not pass on: folded lines, bare CR or LF, control characters, other forms of target than a path,
// CONNECT, Content-Length twice, beside Transfer-Encoding or no plain number, a Transfer-Encoding other than chunked,
// no Host or two. `raw` is the head as it came, with its last empty line.
Refusal check_raw_head(std::string_view raw);
Refusal check_request(const Head& head);

std::string_view reason_phrase(int status);

}  // namespace slm::http
