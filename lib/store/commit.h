// Committing to the trail, under the lock: encapsulations first (keys.db), then rows and the signed header (log.db).
//
// Errors: kLocked, kIo (no space), kIntegrity; nothing of the batch is in log.db then, and committing again resends the
//   same sealed bytes.
#pragma once

#include "schema/json.h"
#include "store/frames.h"

namespace slm::store {

// A batch sealed and not committed. Of `entry`, commit() sets row, counter, link and signature.
struct Pending {
  Entry entry;
  std::vector<SealedGroup> groups;            // frames of artefacts are empty here: they lie in a file
  std::function<Status(Database& log)> also;  // rows for the same transaction
  // Rows of other stores that come before it, from row n on; gives the row after them.
  std::function<Result<int64_t>(Database& log, int64_t n)> before;
};

// A header with the fields every entry needs; batch is random. Errors: kWrongKey when this identity isn't granted the
// kind.
Result<Entry> new_entry(Session& session, EntryKind kind, Random& random);
// Fills in leaves and root.
void finish_leaves(Pending& pending);

// Requires: `lock` is held. Errors: kWrongKey when this identity was revoked meanwhile.
Result<Entry> commit_locked(Session& session, Pending& pending, const FileLock& lock);
// Without that check. Requires: the lock is held.
Result<Entry> write_pending(Session& session, Pending& pending);
Result<Entry> commit(Session& session, Pending& pending);

struct Act {
  std::string action;   // in clear
  json::object facts;   // in clear
  std::string details;  // sealed to the auditor
  int64_t n_calls = 0;
};
Result<Entry> commit_act(Session& session, const Act& act);
Result<Pending> prepare_act(Session& session, const Act& act);

}  // namespace slm::store
