// Content codings: gzip, deflate, br and zstd, undone under a bound.
//
// Errors: kBadInput: an unknown coding, damaged or unfinished data, more than the bound. Messages say which, never what
//   the data hold.
// Source: RFC 9110 section 8.4.1 (deflate is the zlib format; some send it bare, and both are read), RFC 7932, RFC
// 8878.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace slm::http {

// `codings`: a Content-Encoding field, undone from its last to its first; "" and "identity" are none.
struct DecodeOptions {
  uint64_t max_bytes = uint64_t{64} << 20;
  bool partial = false;  // data that break off give what could be read
};
Result<std::string> decode(std::string_view codings, std::string_view data, const DecodeOptions& options = {});
// For what we send ourselves.
Result<std::string> gzip(std::string_view data);

}  // namespace slm::http
