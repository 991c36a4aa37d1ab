// What every operation of an opened store works with: the databases, who we are, the keys unwrapped so far.
//
// Threads: one.
#pragma once

#include <set>
#include <unordered_map>

#include "store/entry.h"
#include "store/schema.h"
#include "store/store.h"
#include "store/wraps.h"

namespace slm::store {

// A source as the group header says it.
struct GroupHeader {
  std::string pseudonym;
  Digest source{};  // HMAC(source key, source): stays when pseudonyms rotate
};

struct Session {
  std::filesystem::path dir;
  Databases db;
  AdminLog admin;
  Id16 store_id{};
  crypto::Identity self;
  uint32_t self_seq = 0;
  Role role = Role::kTrainer;
  Random* random = nullptr;
  Clock* clock = nullptr;
  int64_t lock_wait_ms = 0;

  std::map<KeyName, crypto::SecretBytes> secrets;  // unwrapped
  std::unordered_map<int64_t, Digest> verified;    // entries whose signature held: row → hash
  std::vector<int64_t> reads;                      // counters of the read entries this session made
  std::map<Id16, GroupHeader> headers;             // of groups seen lately, for curated calls that name them
  std::vector<std::unique_ptr<Random>> demo_randoms;
  std::map<Id16, int64_t> erased;                // groups → row of the act that took them away, see erased.h
  std::map<uint32_t, std::set<Id16>> erased_of;  // groups by tombstone
  int64_t erased_upto = 0;                       // row up to which they were looked for
  std::map<uint32_t, std::set<Id16>> found;      // raw groups of erased sources a curator came upon, by tombstone

  // Errors: kWrongKey.
  Result<ByteSpan> secret(KeyName key);
  Result<ByteSpan> current_fleet_secret(FleetKey key);
  // Rereads the admin's entries if there are new ones.
  Status refresh_admin();
  // Signature and grant, once per entry.
  Status check(const Entry& entry);
  void remember(const Id16& group, GroupHeader header);

  // Randomness for sealing: the operating system's; in a demo store it follows from the trail and `context`.
  Result<Random*> sealing_random(ByteSpan context);
  // Now; a fixed time in a demo store.
  int64_t now_ms();
  Result<FileLock> lock() const { return FileLock::acquire(lock_path(dir), lock_wait_ms); }
};

inline constexpr int64_t kDemoTime_ms = 1767225600000;  // 2026-01-01T00:00:00Z

// As Store::open() does. Errors: those of Store::open().
Result<Session> open_session(const std::filesystem::path& dir, const OpenOptions& options, Info* info = nullptr);

Bytes seal_info(const AdminLog& admin, const EpochRecord& epoch);  // HPKE's info of an epoch

}  // namespace slm::store
