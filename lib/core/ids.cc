#include "core/ids.h"

#include <fmt/format.h>
#include <algorithm>

namespace slm {

Result<CallId> parse_call_id(std::string_view hex) {
  if (hex.size() != 32)
    return fail(ErrorCode::kBadInput, fmt::format("a call id has 32 hexadecimal digits, not {}", hex.size()));
  SLM_TRY(const Bytes bytes, from_hex(hex));
  CallId id;
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

}  // namespace slm
