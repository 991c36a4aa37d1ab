// Reading calls back: see Store::scan. Every header used is checked (link, signature, grant), every opened frame
// against the signed root. No statement stays open while a caller's visitor runs, so that it may append, and the WAL
// can be checkpointed.
#pragma once

#include "store/session.h"

namespace slm::store {

// Where calls lie, by id: filled when a caller asks for chosen ones. 32 bytes a call.
class CallIndex {
 public:
  struct Place {
    CallId id;
    int64_t seal = 0;    // of its meta group; its body group is the next
    uint32_t index = 0;  // in the group
  };
  // Reads the meta of entries after the last indexed one, up to row `to`.
  Status extend(Session& session, Store::Space space, int64_t to);
  // Places of those ids that are stored, in storage order. Requires: ids sorted.
  std::vector<Place> find(const std::vector<CallId>& ids) const;

 private:
  std::vector<Place> places_;  // sorted by id
  int64_t upto_ = 0;
};

struct ScanRequest {
  Store::Space space = Store::Space::kRaw;
  const ScanOptions* options = nullptr;
  const std::function<Result<bool>(StoredCall&)>* visit = nullptr;
};
Status scan_calls(Session& session, CallIndex& index, const ScanRequest& request);

// The header of a raw group, by its name in hexadecimal. Errors: kBadInput when there is no such group.
Result<GroupHeader> group_header(Session& session, const std::string& name);
Result<Id16> parse_group(std::string_view hex);

}  // namespace slm::store
