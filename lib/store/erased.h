// What was erased: groups that signed acts of the trail took away. Their rows of `seals`, cleared, and their leaves
// stay, so that the rest of a batch can be checked; their frames and encapsulations are gone.
//
// Acts: "erase" names a tombstone (an admin entry that publishes the source's HMAC) and is the admin's or a curator's,
// who finds the groups of an erased source that came later; "retention" is the admin's. Errors: kIntegrity for an act
// by one who may not.
#pragma once

#include "store/commit.h"

namespace slm::store {

struct Erasure {
  bool retention = false;
  uint32_t tombstone = 0;  // admin entry
  std::vector<Id16> groups;
  int64_t n_raw = 0, n_curated = 0;  // calls; commit_erasure() counts them
};
bool is_erasure(const Entry& entry);
// What such an act says, and that its writer may say it. Requires: is_erasure(entry), its signature was checked.
Result<Erasure> read_erasure(const AdminLog& admin, const Entry& entry);
Act erasure_act(const Erasure& erasure);

// An act that erases, at its place in the trail, or named by a merge whose later steps bring it: what it took may be
// here before it is.
struct ErasingAct {
  int64_t n = 0;  // row that says it: its own, or the merge's
  bool ahead = false;
  Entry entry;
  Erasure erasure;
};
// Those of rows from..to, in order; signatures and rights were checked.
Status each_erasing_act(Database& log, const AdminLog& admin, std::pair<int64_t, int64_t> rows,
                        const std::function<Status(ErasingAct&&)>& visit);
// What a merge names ahead. Errors: kIntegrity for what isn't an act that erases.
Result<std::vector<ErasingAct>> read_ahead(const AdminLog& admin, const Entry& merge);
inline constexpr size_t kMaxAheadBytes = 256 << 10;  // of one act, encoded

// Brings session.erased up to the trail's end.
Status refresh_erased(Session& session);

// Frames go with the act, encapsulations after it.
// A row of `seals` whose group is gone: no hash, no references, which its frames would vouch for.
bool is_cleared(const SealRow& seal);
Status delete_frames(Database& log, std::span<const Id16> groups);
Status delete_encapsulations(Database& keys, std::span<const Id16> groups);
// Commits the acts, a few thousand groups each. `admin`: signed by it; else by the session's identity.
struct AdminRoom;
Status commit_erasure(Session& session, AdminRoom* admin, Erasure erasure);

// What goes with raw groups: curated groups that name them, artefacts made from either.
struct Dependents {
  std::vector<Id16> curated, artefacts;     // groups
  std::vector<std::string> artefact_names;  // shredded: to be made again
  std::vector<std::string> adapters;        // trained on them: listed, and kept
  int64_t n_raw = 0, n_curated = 0;         // calls
};
Result<Dependents> find_dependents(Session& session, const std::set<Id16>& raw_groups);

// Calls that begin in a meta group, by the clear column of its frames. `frames` selects `calls` between two rows.
Result<int64_t> count_calls(Statement& frames, int64_t seal);

// Deletes what erased groups still have: after a cut-off erasure, or a merge from a store that hadn't erased yet. The
// number of groups that had something.
Result<int64_t> finish_erasures(Session& session);
// Deletes encapsulations of batches that were never committed, and wraps of rotations that were never signed.
Result<int64_t> remove_orphans(Session& session);

// A curator's erasures: what its scan came upon (session.found), and what was made from an erased source by one who had
// read it before and finished after.
Status erase_rest(Session& session);

}  // namespace slm::store
