// Conversations out of calls that no session label joins: a call whose messages begin with all of an earlier call's
// messages and then that call's answer goes on with it.
//
// Compared by hash, per source: system, user and tool messages whole, answers by their text and the tools they call
// (clients drop or add other fields when they send an answer back). Of several the longest counts, of equal ones the
// latest. An answer that was edited, or a history that was shortened, begins a conversation of its own.
// Units: 16 to 32 bytes a call. Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "call/call.h"

namespace slm::scrub {

class Conversations {
 public:
  Conversations();
  ~Conversations();
  // Calls in the order of the log. `number` is the caller's; the number of the conversation's first call comes back:
  // the call's own when it goes on with none.
  uint32_t add(const Call& call, uint32_t number);

 private:
  struct Table;
  std::unique_ptr<Table> first_;
};

}  // namespace slm::scrub
