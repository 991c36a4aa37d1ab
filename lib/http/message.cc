#include "http/message.h"

#include <fmt/format.h>

#include <algorithm>

namespace slm::http {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

template <class Visit>
void each_token(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (const auto token = trim(list.substr(0, comma)); !token.empty()) visit(token);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

constexpr std::string_view kHopByHop[] = {
    "Connection",         "Keep-Alive", "Proxy-Connection",  "Proxy-Authorization",
    "Proxy-Authenticate", "TE",         "Transfer-Encoding", "Upgrade"};

void append_fields(std::string& out, const Head& head) {
  for (const Field& field : head.fields) {
    out += field.name;
    out += ": ";
    out += field.value;
    out += "\r\n";
  }
  out += "\r\n";
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

const std::string* find(const Head& head, std::string_view name) {
  for (const Field& field : head.fields)
    if (same_name(field.name, name)) return &field.value;
  return nullptr;
}

std::string_view value_of(const Head& head, std::string_view name) {
  const std::string* value = find(head, name);
  return value == nullptr ? std::string_view() : std::string_view(*value);
}

size_t count(const Head& head, std::string_view name) {
  return static_cast<size_t>(
      std::count_if(head.fields.begin(), head.fields.end(), [&](const Field& f) { return same_name(f.name, name); }));
}

bool has_token(const Head& head, std::string_view name, std::string_view token) {
  bool found = false;
  for (const Field& field : head.fields)
    if (same_name(field.name, name))
      each_token(field.value, [&](std::string_view t) { found = found || same_name(t, token); });
  return found;
}

bool keeps_alive(const Head& head) {
  if (has_token(head, "Connection", "close")) return false;
  return head.minor >= 1 || has_token(head, "Connection", "keep-alive");
}

void drop_hop_by_hop(Head& head) {
  std::vector<std::string> named;
  for (const Field& field : head.fields)
    if (same_name(field.name, "Connection"))
      each_token(field.value, [&](std::string_view t) {
        if (!same_name(t, "Host") && !same_name(t, "Content-Length")) named.emplace_back(t);
      });
  std::erase_if(head.fields, [&](const Field& field) {
    const auto is = [&](std::string_view name) { return same_name(field.name, name); };
    return std::any_of(std::begin(kHopByHop), std::end(kHopByHop), is) || std::any_of(named.begin(), named.end(), is);
  });
}

void set(Head& head, std::string_view name, std::string_view value) {
  for (Field& field : head.fields)
    if (same_name(field.name, name)) {
      field.value = value;
      return;
    }
  head.fields.push_back({std::string(name), std::string(value)});
}

void append_request(std::string& out, const Head& head) {
  out += head.method;
  out += ' ';
  out += head.target;
  out += " HTTP/1.1\r\n";
  append_fields(out, head);
}

void append_response(std::string& out, const Head& head) {
  out += fmt::format("HTTP/1.1 {} ", head.status);
  out += head.reason;
  out += "\r\n";
  append_fields(out, head);
}

Refusal check_raw_head(std::string_view raw) {
  for (size_t i = 0; i < raw.size(); ++i) {
    const auto c = static_cast<unsigned char>(raw[i]);
    if (c == '\r') {
      if (i + 1 >= raw.size() || raw[i + 1] != '\n') return {400, "a bare carriage return"};
      ++i;
      if (i + 1 < raw.size() && (raw[i + 1] == ' ' || raw[i + 1] == '\t')) return {400, "a folded header line"};
    } else if (c == '\n') {
      return {400, "a bare line feed"};
    } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
      return {400, "a control character in the header"};
    }
  }
  return {};
}

Refusal check_request(const Head& head) {
  if (head.method == "CONNECT") return {405, "CONNECT isn't offered"};
  if (head.target.empty() || head.target.front() != '/' || head.target.starts_with("//"))
    return {400, "the request target must be a path"};
  for (const char c : head.target)
    if (static_cast<unsigned char>(c) <= 0x20 || c == '#' || c == '\\' || static_cast<unsigned char>(c) == 0x7f)
      return {400, "a character that a request target can't have"};
  if (const size_t n = count(head, "Host"); n > 1 || (n == 0 && head.minor >= 1))
    return {400, "a request has exactly one Host"};
  const size_t n_lengths = count(head, "Content-Length"), n_codings = count(head, "Transfer-Encoding");
  if (n_lengths > 1) return {400, "Content-Length is there twice"};
  if (n_lengths == 1) {
    const std::string_view value = value_of(head, "Content-Length");
    if (value.empty() || value.size() > 18 || value.find_first_not_of("0123456789") != std::string_view::npos)
      return {400, "Content-Length is no plain number"};
  }
  if (n_codings > 0) {
    if (n_lengths > 0) return {400, "Content-Length beside Transfer-Encoding"};
    if (n_codings > 1 || !same_name(value_of(head, "Transfer-Encoding"), "chunked"))
      return {501, "a Transfer-Encoding other than chunked"};
    if (head.minor < 1) return {400, "Transfer-Encoding in HTTP/1.0"};
  }
  return {};
}

std::string_view reason_phrase(int status) {
  struct Row {
    int status;
    std::string_view phrase;
  };
  static constexpr Row kRows[] = {{200, "OK"},
                                  {202, "Accepted"},
                                  {204, "No Content"},
                                  {400, "Bad Request"},
                                  {401, "Unauthorized"},
                                  {403, "Forbidden"},
                                  {404, "Not Found"},
                                  {405, "Method Not Allowed"},
                                  {407, "Proxy Authentication Required"},
                                  {408, "Request Timeout"},
                                  {413, "Content Too Large"},
                                  {415, "Unsupported Media Type"},
                                  {429, "Too Many Requests"},
                                  {431, "Request Header Fields Too Large"},
                                  {500, "Internal Server Error"},
                                  {501, "Not Implemented"},
                                  {502, "Bad Gateway"},
                                  {503, "Service Unavailable"},
                                  {504, "Gateway Timeout"},
                                  {505, "HTTP Version Not Supported"}};
  for (const Row& row : kRows)
    if (row.status == status) return row.phrase;
  return "Status";
}

}  // namespace slm::http
