// One HTTP/1.1 message out of a stream of bytes, piece by piece: its head, then its body without chunk framing.
//
// Requires: what feed() didn't take is given again, before what comes next.
// Errors: kBadInput; of a request refusal() says how to answer. Messages never quote what came.
// Threads: one.
// Source: Boost.Beast's basic_parser reads lines, fields and chunks; message.h says what is refused besides.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace slm::http {

inline constexpr size_t kDefaultMaxHeadBytes = 32 << 10;

class MessageParser {
 public:
  enum class Kind { kRequest, kResponse };
  explicit MessageParser(Kind kind, size_t max_head_bytes = kDefaultMaxHeadBytes);
  ~MessageParser();
  MessageParser(MessageParser&&) noexcept;
  MessageParser& operator=(MessageParser&&) noexcept;

  // How many of `bytes` were taken. Stops behind the head, so that its reader can look at it before the body is read,
  // and at the end of the message. Appends the body's pieces, which lie in `bytes`.
  Result<size_t> feed(std::string_view bytes, std::vector<std::string_view>& body);
  // The stream ended. Errors: kBadInput when the message isn't over.
  Status end_of_stream();
  // Of a response: it answers HEAD, or is read as having no body. Before the head is read.
  void expect_no_body();

  bool has_head() const;
  bool done() const;
  const Head& head() const;
  Head& head();
  bool chunked() const;
  bool until_close() const;  // the body ends with the connection
  std::optional<uint64_t> content_length() const;
  const std::vector<Field>& trailers() const;
  // Of a request that isn't well-formed, or too large.
  Refusal refusal() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace slm::http
