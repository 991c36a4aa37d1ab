// The trail: a chain of signed headers, one per batch of calls, sealed artefact or act (a read, a grant, …). Counter
// and link to the previous header are set under the store's lock.
//
// Errors: kIntegrity for a bad encoding, link, signature, or a writer without the grant.
#pragma once

#include "store/admin_log.h"

namespace slm::store {

struct Entry {
  int64_t n = 0;        // row: storage order, from 1
  Id16 store{};         // origin
  int64_t counter = 0;  // from 1, per origin store
  Digest prev{};        // hash of the origin store's header before; zeros for its first
  EntryKind kind = EntryKind::kAct;
  Id16 batch{};            // random
  uint32_t writer = 0;     // identity
  uint32_t admin_seq = 0;  // newest admin entry the writer knew
  uint32_t schema = 1;     // of what is sealed
  int64_t hour = 0;        // hours since the epoch at sealing
  uint32_t meta_epoch = 0,
           body_epoch = 0;  // of the partitions it seals to; an act's details: meta_epoch is the audit epoch
  int64_t n_calls = 0;
  int64_t n_leaves = 0;
  Digest root{};       // Merkle root over the leaves
  std::string action;  // "append", "seal", "read", "grant", …
  std::string facts;   // canonical JSON, in clear
  Bytes details;       // of acts: encapsulation ‖ text sealed to the audit epoch
  crypto::Signature signature{};

  Bytes signed_bytes() const;
  Digest hash() const;
};

// An entry by itself: what is signed, and the signature. Its row isn't part of it.
Bytes encode_entry(const Entry& entry);
// Errors: kIntegrity for what encode_entry() doesn't give.
Result<Entry> decode_entry(ByteSpan bytes);

Status insert_entry(Database& log, const Entry& entry, std::span<const Digest> leaves);
// At most `limit` entries from row `from` on. Links and signatures aren't checked.
Result<std::vector<Entry>> read_entries(Database& log, int64_t from, int64_t limit);
// Leaves whose root is the one signed.
Result<std::vector<Digest>> read_leaves(Database& log, const Entry& entry);

// The last row of all, and counter and hash of a store's last header (zeros before its first).
struct Head {
  int64_t n = 0, counter = 0;
  Digest hash{};
};
Result<Head> read_head(Database& log, const Id16& store);
// The header of a store's chain with that counter; none if it isn't here.
Result<std::optional<Entry>> find_entry(Database& log, const Id16& store, int64_t counter);

// Signature, and that its writer is granted this kind.
Status check_entry(const AdminLog& admin, const Entry& entry);

// Links. Each origin store has a chain of its own, and after a merge several lie in one trail, each in its own order.
class Chains {
 public:
  // from_start: the first row is the trail's first; else each store's first header seen is believed as to its link.
  explicit Chains(bool from_start) : from_start_(from_start) {}
  // That `next` is the row expected and follows its store's header before.
  Status follow(const Entry& next, int64_t expect_n);
  const std::map<Id16, ChainHead>& heads() const { return heads_; }

 private:
  bool from_start_;
  std::map<Id16, ChainHead> heads_;
};

}  // namespace slm::store
