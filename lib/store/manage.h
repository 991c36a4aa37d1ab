// Looking after a store: keys that rotate and end, fleets, erasing, keeping, backing up. What the commands `keys`,
// `store` and `audit` do beyond reading and writing calls.
//
// `keys` everywhere: a folder of key files, or the admin's; empty: default_keys_dir().
// Errors: kWrongKey where a key that is needed isn't at hand; kIntegrity, kLocked, kIo as everywhere in the store.
// Threads: one per call; other processes may read and write meanwhile, and wait for one batch at most, except while
//   compact_store() rewrites the files.
#pragma once

#include "schema/json.h"
#include "store/store.h"

namespace slm::store {

struct KeyOptions {
  std::filesystem::path keys;
  std::vector<std::filesystem::path> more_keys;  // further key files, such as the recovery key on its medium
  Random* random = nullptr;
  Clock* clock = nullptr;
};

// New epochs of partitions (by name; "pseudonym" for the pseudonym key; "all"). Made by a reader at hand, wrapped to
// all who may open it now, signed by the admin. A new raw-meta epoch brings a new pseudonym key.
struct RotateResult {
  std::vector<std::string> keys;  // "raw-meta epoch 2"
  int64_t n_wraps = 0;
};
Result<RotateResult> rotate_keys(const std::filesystem::path& dir, const std::vector<std::string>& what,
                                 const KeyOptions& options);

// Wraps of all that is granted and not wrapped, as far as holders are at hand. Needs no admin.
struct RewrapResult {
  int64_t n_wraps = 0;
  int64_t n_pending = 0;  // no holder of these at hand
};
Result<RewrapResult> rewrap_keys(const std::filesystem::path& dir, const KeyOptions& options);

// Ends an identity (8 digits of its fingerprint or more): its wraps go, what it could open gets new epochs, and its
// last entries are named, so that what it signs later is refused. What it copied before stays copied.
struct RevokeResult {
  std::string fingerprint, role;
  int64_t n_wraps_deleted = 0;
  std::vector<std::string> new_keys;
  int64_t n_heads = 0;  // stores in which it had written
};
Result<RevokeResult> revoke_key(const std::filesystem::path& dir, std::string_view fingerprint,
                                const KeyOptions& options);

// Erases a source: its raw groups, the curated groups made from them, and the artefacts made from either; publishes a
// tombstone, so that importers drop what comes later. The curator's key finds, the admin's signs: both in `keys`, or
// one after the other through a plan.
struct EraseOptions {
  std::string source;           // the log's own name for it, or a pseudonym "src_…"
  bool dry_run = false;         // says what would go
  std::filesystem::path plan;   // writes what is to go for the admin, and changes nothing
  std::filesystem::path apply;  // such a plan; the admin's key is enough then
  std::filesystem::path keys;
  Random* random = nullptr;
  Clock* clock = nullptr;
};
struct EraseResult {
  bool done = false;
  int64_t n_raw_groups = 0, n_raw = 0, n_curated = 0;  // calls
  std::vector<std::string> artefacts;                  // gone: to be made again
  std::vector<std::string> adapters;                   // trained on it, and still there
  bool clean = true;     // false: another process was reading, so the WAL keeps old pages until `store compact`
  int64_t n_spools = 0;  // files of the collector with calls, whoever's, that aren't in the store yet
};
// Errors: kBadInput for a pseudonym that no group has, or a bad plan.
Result<EraseResult> erase_source(const std::filesystem::path& dir, const EraseOptions& options);

// Removes calls sealed longer ago than that. By sealed time, whatever time the log gives its calls. Signed by the
// admin.
struct RetainOptions {
  int64_t raw_days = -1, curated_days = -1;  // negative: kept
  bool dry_run = false;
  std::filesystem::path keys;
  Random* random = nullptr;
  Clock* clock = nullptr;
};
struct RetainResult {
  bool done = false;
  int64_t n_groups = 0, n_raw = 0, n_curated = 0;  // calls
  bool clean = true;
};
Result<RetainResult> retain_store(const std::filesystem::path& dir, const RetainOptions& options);

// Removes what nothing needs (encapsulations of batches never committed, rests of erasures) and rewrites both files.
// Needs no key. Writers wait while it rewrites.
struct CompactResult {
  int64_t n_orphans = 0;
  int64_t n_finished = 0;  // rows of erased groups that were still there
  int64_t bytes_before = 0, bytes_after = 0;
  bool clean = true;
};
Result<CompactResult> compact_store(const std::filesystem::path& dir);

// --- a fleet: stores on several machines that share admin, epochs and fleet keys
// What one store hands to another. With new_store the admin signs a further store in; join_store() makes it elsewhere.
struct BundleOptions {
  std::filesystem::path out;
  bool new_store = false;
  std::filesystem::path keys;  // for new_store: the admin's
  Random* random = nullptr;
  Clock* clock = nullptr;
};
struct BundleResult {
  std::string store_id;  // of the new store
  uint32_t admin_entries = 0;
  std::string admin_fingerprint;
};
Result<BundleResult> make_bundle(const std::filesystem::path& dir, const BundleOptions& options);
// Makes the store that a bundle was made for. Needs no key; the bundle brings none.
struct JoinOptions {
  std::filesystem::path bundle;
  std::string admin_fingerprint;  // whose fleet it must be; empty: not checked
};
Result<Info> join_store(const std::filesystem::path& dir, const JoinOptions& options);
// Takes over from a bundle what the admin signed since: epochs, grants, revocations, tombstones. Any key of this
// store's.
struct UpdateResult {
  bool changed = false;
  uint32_t before = 0, after = 0;  // admin entries
};
Result<UpdateResult> update_store(const std::filesystem::path& dir, const std::filesystem::path& bundle,
                                  const KeyOptions& options);

// Brings what another store of the fleet holds into this one, unopened: its chains go on as chains of their own. What
// is here already is passed over. A curator's key, the admin's or a collector's signs the merge. Errors: kWrongKey for
// another fleet; kIntegrity for whatever of it doesn't verify: nothing is taken then.
struct MergeResult {
  std::string store_id;
  int64_t n_entries = 0, n_calls = 0;
  int64_t n_refused = 0;      // groups that were erased here
  int64_t n_erased_rows = 0;  // rows that went because of erasures that came along
  bool admin_updated = false;
  int64_t n_spools = 0;  // files of the other's collector with calls that aren't in its store yet, and so not here
};
Result<MergeResult> merge_store(const std::filesystem::path& dir, const std::filesystem::path& other,
                                const KeyOptions& options);

// Opened with whichever key is given: a key file's own role, or of a folder the first of `roles` that it has.
Result<std::unique_ptr<Store>> open_store_any(const std::filesystem::path& dir, const KeyOptions& options,
                                              std::span<const Role> roles);

// --- backups. log.db and the sealed files go to one folder, keys.db to another, each copy with the time in its name:
// apart, because who has both can open what was erased since. One moment of both, while writers go on. Calls that wait
// in the collector's spools go with keys.db, and expire with it. Counters (collector/NN.marks) stay: they are a running
// process's.
struct BackupOptions {
  std::filesystem::path to, keys_to;
  int64_t expire_days = -1;  // copies of keys.db older than this are removed from keys_to; negative: none
  Clock* clock = nullptr;
};
struct BackupResult {
  std::filesystem::path log, keys;  // folder and file made
  int64_t bytes = 0, n_files = 0, n_expired = 0, n_spools = 0;
  std::string head;
};
Result<BackupResult> backup_store(const std::filesystem::path& dir, const BackupOptions& options);
// Makes a store from such a pair, verified before it takes its place. Errors: kIntegrity when the two don't belong
// together.
struct RestoreOptions {
  std::filesystem::path from, keys_from;  // what BackupResult named
};
Result<VerifyReport> restore_store(const std::filesystem::path& dir, const RestoreOptions& options);

// --- the audit trail, as an auditor reads it: that it did is an entry too.
struct AuditQuery {
  std::string action, actor;  // exactly this action; fingerprint beginning with this; empty: all
  int64_t from = 1;           // row
  int64_t limit = -1;         // newest so many; negative: all
  std::string purpose;        // what the trail says of this reading
};
struct AuditRow {
  int64_t n = 0, counter = 0;
  std::string store, actor, role, action;
  int64_t time_ms = 0;  // of acts; of the rest the hour of sealing
  int64_t n_calls = 0;
  json::object facts;
  std::string details;  // opened
  std::string hash;
};
Status read_audit(const std::filesystem::path& dir, const AuditQuery& query, const KeyOptions& options,
                  const std::function<Result<bool>(const AuditRow&)>& visit);

}  // namespace slm::store
