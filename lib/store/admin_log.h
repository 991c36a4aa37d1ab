// What a fleet's admin signed, in order, each entry naming the hash of the one before: founding, stores, identities,
// epochs, fleet keys, grants, revocations, tombstones. Everything that decides who may seal, open or append follows
// from it.
//
// An identity is named by the number of its entry (the admin's is 1), a key by (what, version): what = 1 to 5 for the
// epochs of a partition, 16 + i for fleet key i.
//
// Errors: kIntegrity for a bad signature, link, order or encoding; kFormatTooNew for an entry of a kind this program
//   doesn't know.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "crypto/keyfile.h"
#include "store/encode.h"
#include "store/sqlite.h"
#include "store/types.h"

namespace slm::store {

// Symmetric keys that stores of a fleet share.
enum class FleetKey : uint8_t { kDedup, kSource, kPseudonym, kSplit, kSurrogate, kDigest };
inline constexpr std::array<FleetKey, 6> kFleetKeys = {FleetKey::kDedup, FleetKey::kSource,    FleetKey::kPseudonym,
                                                       FleetKey::kSplit, FleetKey::kSurrogate, FleetKey::kDigest};
std::string_view fleet_key_name(FleetKey key);
bool may_hold(Role role, FleetKey key);

struct KeyName {
  uint8_t what = 0;
  uint32_t version = 0;
  auto operator<=>(const KeyName&) const = default;
};
constexpr uint8_t what_of(Partition partition) { return static_cast<uint8_t>(partition); }
constexpr uint8_t what_of(FleetKey key) { return static_cast<uint8_t>(16 + static_cast<uint8_t>(key)); }
// "raw-meta epoch 1", "digest key 1"; for messages.
std::string key_title(KeyName key);

// Kinds of entries of the trail (entry.h); a grant says which of them an identity may sign.
enum class EntryKind : uint8_t { kRaw = 1, kCurated = 2, kArtefact = 3, kAct = 4 };
constexpr uint32_t bit_of(EntryKind kind) { return 1u << static_cast<unsigned>(kind); }
// What the grants that init and `keys grant` sign say of a role.
uint32_t entry_kinds_of(Role role);

inline constexpr std::string_view kRecoveryRole = "recovery";

enum class AdminKind : uint8_t {
  kFounded = 1,
  kStore = 2,
  kIdentity = 3,
  kEpoch = 4,
  kFleetKey = 5,
  kGrant = 6,
  kRevocation = 7,
  kTombstone = 8
};

struct AdminEntry {
  uint32_t seq = 0;
  Digest prev{};
  AdminKind kind = AdminKind::kFounded;
  int64_t time_ms = 0;
  Bytes payload;
  crypto::Signature signature{};

  Bytes signed_bytes() const;
  Digest hash() const;
};

struct IdentityRecord {
  uint32_t seq = 0;
  std::string role;
  crypto::PublicIdentity pub;
  int64_t time_ms = 0;
};
struct EpochRecord {
  Partition partition = Partition::kRawMeta;
  uint32_t number = 0;
  crypto::Aead aead = crypto::Aead::kAes256Gcm;
  crypto::KemPublicKey pub{};
  uint32_t maker = 0;  // identity
  uint32_t seq = 0;    // of its admin entry
};
struct FleetKeyRecord {
  FleetKey key = FleetKey::kDedup;
  uint32_t version = 0;
  Digest commitment{};  // SHA-256 over a label and the key: what a holder checks a wrap against
};
struct Grant {
  uint32_t identity = 0;
  uint32_t entry_kinds = 0;    // bits: may sign
  std::vector<KeyName> opens;  // may hold
  int64_t time_ms = 0;
};

// An entry of a store's chain.
struct ChainHead {
  Id16 store{};
  int64_t counter = 0;
  Digest hash{};
};
struct Revocation {
  uint32_t identity = 0;
  std::vector<ChainHead> last;  // its last accepted entry in each store: what it signs after is refused
  int64_t time_ms = 0;
};

class AdminLog {
 public:
  // Reads and checks all entries.
  static Result<AdminLog> load(Database& log);
  static Result<AdminLog> from_entries(const std::vector<AdminEntry>& entries);
  // A new fleet. The admin's signature founds it.
  static Result<AdminLog> found(const crypto::Identity& admin, const Id16& fleet, bool demo, int64_t time_ms);

  // Each signs one more entry; it is in the log after save().
  struct Signer {
    ByteSpan secret;
    int64_t time_ms = 0;
  };
  Status add_store(const Id16& store, const Signer& signer);
  Result<uint32_t> add_identity(std::string_view role, const crypto::PublicIdentity& pub, const Signer& signer);
  Status add_epoch(const EpochRecord& epoch, const Signer& signer);
  Status add_fleet_key(const FleetKeyRecord& key, const Signer& signer);
  Status add_grant(const Grant& grant, const Signer& signer);
  Status add_revocation(const Revocation& revocation, const Signer& signer);
  // HMAC(source key, source) of a source that was erased: importers drop what matches.
  Status add_tombstone(const Digest& source, const Signer& signer);
  // Inserts the entries after the first n_saved.
  Status save(Database& log, uint32_t n_saved) const;

  uint32_t n_entries() const { return static_cast<uint32_t>(hashes_.size()); }
  const Digest& hash_of(uint32_t seq) const { return hashes_[seq - 1]; }
  const std::vector<AdminEntry>& entries() const { return entries_; }
  // Whether this log begins with all of `older`.
  bool continues(const AdminLog& older) const;
  const Id16& fleet() const { return fleet_; }
  bool demo() const { return demo_; }
  const crypto::PublicIdentity& admin() const { return identities_.at(1).pub; }

  const std::map<uint32_t, IdentityRecord>& identities() const { return identities_; }
  const IdentityRecord* identity(uint32_t seq) const;
  const IdentityRecord* find(const crypto::PublicIdentity& pub) const;
  bool has_store(const Id16& store) const;
  // Highest number; there is one of each partition and key, or loading fails.
  const EpochRecord& current_epoch(Partition partition) const;
  const EpochRecord* epoch(Partition partition, uint32_t number) const;
  const FleetKeyRecord& current_fleet_key(FleetKey key) const;
  const FleetKeyRecord* fleet_key(FleetKey key, uint32_t version) const;
  const std::vector<Grant>& grants() const { return grants_; }
  const std::map<uint32_t, Revocation>& revocations() const { return revocations_; }
  const Revocation* revocation(uint32_t identity) const;
  // Now: false once it is revoked.
  bool may_sign(uint32_t identity, EntryKind kind) const;
  bool may_open(uint32_t identity, KeyName key) const;
  // Now or before a revocation.
  bool might_sign(uint32_t identity, EntryKind kind) const;
  bool might_open(uint32_t identity, KeyName key) const;
  // By HMAC(source key, source) → number of the entry.
  const std::map<Digest, uint32_t>& tombstones() const { return tombstones_; }
  // All keys, epochs first.
  std::vector<KeyName> all_keys() const;

 private:
  Status append(AdminKind kind, Bytes payload, const Signer& signer);
  Status apply(const AdminEntry& entry);

  std::vector<AdminEntry> entries_;
  std::vector<Digest> hashes_;
  Id16 fleet_{};
  bool demo_ = false;
  std::map<uint32_t, IdentityRecord> identities_;
  std::vector<Id16> stores_;
  std::map<KeyName, EpochRecord> epochs_;
  std::map<KeyName, FleetKeyRecord> fleet_keys_;
  std::vector<Grant> grants_;
  std::map<uint32_t, Revocation> revocations_;
  std::map<Digest, uint32_t> tombstones_;
};

Digest fleet_key_commitment(FleetKey key, uint32_t version, ByteSpan secret);

}  // namespace slm::store
