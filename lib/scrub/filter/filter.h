// Which calls aren't worth learning from: failed, refused, empty, cut, not decoded.
//
// Threads: pure.
#pragma once

#include <string_view>

#include "call/call.h"

namespace slm::scrub {

struct FilterOptions {
  bool no_hci = false;  // leave out calls whose answer speaks to a human
};
// Why the call is left out: "error", "refused", "empty", "truncated", "no_response", "failed", "partial", "undecoded",
// "needs_parent", "hci"; "" to keep it. A call of a failed session, or one whose answer is wrong, stays.
std::string_view drop_reason(const Call& call, const FilterOptions& options);

}  // namespace slm::scrub
