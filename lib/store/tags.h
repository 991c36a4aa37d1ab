// The tags this identity stored already, in memory: what suppresses a second import. Read from the clear column of
// frames when an appender opens, and again for batches that another process of the same identity committed meanwhile.
//
// Units: 16 bytes a call, times 2 for an open-addressing table at most half full.
#pragma once

#include "store/frames.h"

namespace slm::store {

class TagSet {
 public:
  bool contains(const Tag& tag) const;
  void insert(const Tag& tag);
  size_t size() const { return n_; }

 private:
  size_t slot(const Tag& tag) const;
  void grow();
  std::vector<Tag> slots_;  // a tag of zeros marks an empty slot
  size_t n_ = 0;
  bool has_zero_ = false;
};

// Adds the tags of entries with rows in (after, head], of this kind and writer. Returns the head's row.
struct TagQuery {
  EntryKind kind = EntryKind::kRaw;
  uint32_t writer = 0;
  int64_t after = 0;
};
Result<int64_t> load_tags(Database& log, const TagQuery& query, TagSet& tags);

}  // namespace slm::store
