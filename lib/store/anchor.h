// Signed heads of a chain, kept off the host: what a truncated or rolled-back store can't agree with.
//
// One line of canonical JSON: counter, hash, signature, store, time_ms, writer, and "slmconv_anchor": 1. The signature
// is Ed25519 by the writer over "slmconv anchor 1" ‖ store[16] ‖ counter u64 ‖ hash[32] ‖ time_ms u64. Errors:
// kBadInput for a line that isn't one; kIntegrity when the store disagrees with one.
#pragma once

#include "store/session.h"

namespace slm::store {

// Reads nothing of the session that its other work changes: any thread.
Result<std::string> anchor_line(const Session& session, int64_t time_ms);

struct AnchorCheck {
  std::string_view text;  // of an anchor file
  Id16 store{};           // the one that is checked
};
// Fills in what the report says of anchors.
Status check_anchors(Database& log, const AdminLog& admin, const AnchorCheck& check, VerifyReport& report);

}  // namespace slm::store
