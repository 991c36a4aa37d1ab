#include "store/tags.h"

namespace slm::store {

// Tags are pseudo-random already: their first bytes are the hash.
size_t TagSet::slot(const Tag& tag) const {
  const size_t mask = slots_.size() - 1;
  size_t at = get_u64(tag.data()) & mask;
  while (slots_[at] != Tag{} && slots_[at] != tag) at = (at + 1) & mask;
  return at;
}

bool TagSet::contains(const Tag& tag) const {
  if (tag == Tag{}) return has_zero_;
  return !slots_.empty() && slots_[slot(tag)] == tag;
}

void TagSet::insert(const Tag& tag) {
  if (tag == Tag{}) {
    n_ += has_zero_ ? 0 : 1;
    has_zero_ = true;
    return;
  }
  if (2 * (n_ + 1) > slots_.size()) grow();
  Tag& place = slots_[slot(tag)];
  if (place == tag) return;
  place = tag;
  ++n_;
}

void TagSet::grow() {
  std::vector<Tag> old(slots_.empty() ? 1024 : slots_.size() * 2);
  old.swap(slots_);
  for (const Tag& tag : old)
    if (tag != Tag{}) slots_[slot(tag)] = tag;
}

Result<int64_t> load_tags(Database& log, const TagQuery& query, TagSet& tags) {
  SLM_TRY(const int64_t head, log.integer("SELECT max(n) FROM entries"));
  const Partition partition = query.kind == EntryKind::kRaw ? Partition::kRawMeta : Partition::kCuratedMeta;
  // CROSS JOIN and + keep SQLite to this order: by row number, reading nothing else.
  SLM_TRY(Statement stmt,
          log.prepare(
              "SELECT f.calls FROM entries e CROSS JOIN seals s ON s.seal BETWEEN e.n << 16 AND (e.n << 16) + 65535 "
              "CROSS JOIN frames f ON f.frame BETWEEN s.seal << 16 AND (s.seal << 16) + 65535 "
              "WHERE e.n > ? AND e.n <= ? AND e.kind = ? AND e.writer = ? AND +s.partition = ?"));
  stmt.bind(1, query.after).bind(2, head).bind(3, static_cast<int64_t>(query.kind)).bind(4, int64_t{query.writer});
  stmt.bind(5, int64_t{what_of(partition)});
  while (true) {
    SLM_TRY(const bool row, stmt.step());
    if (!row) return head;
    SLM_TRY(const auto slices, decode_slices(stmt.blob(0)));
    for (const Slice& slice : slices)
      if ((slice.flags & Slice::kHeader) == 0) tags.insert(slice.tag);
  }
}

}  // namespace slm::store
