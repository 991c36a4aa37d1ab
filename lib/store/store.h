// The sealed log store. A folder with log.db, keys.db (SQLite, WAL), store.lock and artifacts/. What it holds of calls
// is sealed by HPKE to role epochs: a collector appends and can't read; a trainer reads curated calls and can't open
// raw ones; that is a fact of keys, not of checks.
//
// Units: times in ms since the epoch (UTC).
// Errors: kStoreMissing, kLocked (another writer), kWrongKey (this identity holds no wrap of the key that is needed, or
//   belongs to another fleet), kFormatTooNew, kIntegrity (signature, seal, chain or SQLite page), kIo (no space).
// Threads: one thread per Store object; several processes may read while one writes.
// Source: README "The store".
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.h"
#include "core/progress.h"
#include "core/random.h"
#include "core/time.h"
#include "store/types.h"

namespace slm::store {

// Content tag: first 128 bits of HMAC-SHA256(deduplication key, …). Equal content of one file has equal tags only with
// equal occurrence numbers.
using Tag = std::array<uint8_t, 16>;

// What the writer hands over for one call. `meta` and `body` are canonical JSON (call/call.h).
struct NewCall {
  CallId id;
  Tag tag{};
  std::string source;  // the log's own source, in clear; only its pseudonym and HMAC are stored, sealed
  std::string meta, body;
  // Curated writes only: the raw group the call came from (GroupRef.name), so that erasing raw erases curated.
  std::string raw_group;
};

// One call as a reader gets it. `body` is empty when only meta was asked for.
struct StoredCall {
  CallId id;
  Tag tag{};
  std::string source;  // pseudonym
  std::string group;   // name (hexadecimal) of the group it lies in: (batch, source)
  std::string meta, body;
};

struct OpenOptions {
  std::filesystem::path
      identity;  // key file, or folder of keys (each command names the role it wants); empty: default_keys_dir()
  Role role = Role::kTrainer;  // which key of a folder to take; a single key file must have this role
  // Will append: fails now where the store can't be written (kIo), and where a collector or curator would put calls
  // into a demonstration store (kWrongKey), unless SLMCONV_DEMO=1 is in the environment. Locks are taken per batch.
  bool write = false;
  Random* random = nullptr;
  Clock* clock = nullptr;
};

// Collects calls into signed batches and commits them. A batch is committed when it holds batch_calls or batch_bytes;
// what wasn't flushed at destruction is dropped. An add() or flush() that fails with kIo or kLocked loses nothing:
// flush() again.
class Appender {
 public:
  virtual ~Appender() = default;
  // False if a call with this tag by this writer is stored already, or its source was erased (then nothing is added).
  virtual Result<bool> add(NewCall call) = 0;
  // Commits what is pending. Errors leave the store as it was before the pending batch.
  virtual Status flush() = 0;
  virtual int64_t n_added() const = 0;
  virtual int64_t n_known() const = 0;            // suppressed: stored before
  virtual int64_t n_erased() const { return 0; }  // dropped: of a source that was erased
};
struct AppendOptions {
  int64_t batch_calls = 4096;
  int64_t batch_bytes = 32 << 20;  // plaintext
};

struct ScanOptions {
  bool body = false;
  // In storage order, which is the order of commits. Positions: see StoredCall; from_batch skips earlier batches.
  int64_t from_batch = 0;                     // row number of the first batch to read
  std::string purpose;                        // what the audit trail says, e.g. "cluster"
  const std::vector<CallId>* only = nullptr;  // sorted; only these calls (frames without any of them aren't opened)
};

struct Info {
  std::string store_id, fleet_id, admin_fingerprint;
  int format = 0;
  bool demo = false;  // made with --demo-seed: insecure
  int64_t n_batches = 0, n_raw = 0, n_curated = 0, n_audit = 0;
  int64_t log_bytes = 0, keys_bytes = 0;
  std::string head;  // hash of the last batch header, hexadecimal
};

class Store {
 public:
  virtual ~Store() = default;
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& dir, const OpenOptions& options);
  // Needs no identity.
  static Result<Info> info(const std::filesystem::path& dir);

  virtual const std::filesystem::path& dir() const = 0;
  virtual Role role() const = 0;
  virtual const Info& opened_info() const = 0;

  // --- fleet keys. Errors: kWrongKey when this role holds no such key.
  // Tag of a canonical content: HMAC(deduplication key, content ‖ time in s if known ‖ occurrence).
  virtual Result<Tag> content_tag(std::string_view content, std::optional<int64_t> time_ms,
                                  uint64_t occurrence) const = 0;
  // Pseudonym of a source or a session id: keyed, rotates with the epoch; "src_…" / "ses_…" by `kind`.
  virtual Result<std::string> pseudonym(std::string_view kind, std::string_view value) const = 0;
  // A fresh id for a call: 128 random bits; in a demo store it follows from the tag, so that ids are reproducible.
  virtual Result<CallId> new_call_id(const Tag& tag) const = 0;
  // Keyed number in [0,1) that decides a session group's side of the split. Curator only.
  virtual Result<double> split_point(std::string_view group) const = 0;
  // 32 bytes from the surrogate key, for scope ‖ type ‖ value. Curator only.
  virtual Result<Digest> surrogate_bytes(std::string_view input) const = 0;
  // HMAC(digest key, input), hexadecimal: what manifests name sets of calls by. Collector, curator, trainer.
  virtual Result<std::string> keyed_digest(std::string_view input) const = 0;

  // --- calls. Partition pairs: raw = kRawMeta + kRawBody, curated = kCuratedMeta + kCuratedBody.
  enum class Space { kRaw, kCurated };
  virtual Result<std::unique_ptr<Appender>> append(Space space, const AppendOptions& options = {}) = 0;
  // Calls `visit` for each call until it returns false. Logged in the audit trail before the first byte; if that commit
  // fails, the read fails.
  virtual Status scan(Space space, const ScanOptions& options,
                      const std::function<Result<bool>(StoredCall&)>& visit) = 0;
  // Number of the next batch to be committed: what a later scan passes as from_batch to see only newer calls.
  virtual Result<int64_t> next_batch() = 0;

  // --- artefacts: artifacts/<step>/<id>/. Files made from text are sealed to the curated-body epoch (the trainer),
  // with their encapsulation in keys.db under `name`; `groups` are the raw groups whose calls they were made from.
  virtual Status seal_file(const std::filesystem::path& path, std::string_view name, ByteSpan plaintext) = 0;
  virtual Result<Bytes> open_sealed_file(const std::filesystem::path& path, std::string_view name) = 0;
  // Says in the audit trail that this identity did something (an export, shown text). Details are sealed to the
  // auditor.
  virtual Status audit(std::string_view action, std::string_view details) = 0;

  // The head of this store's chain, signed, as one line of JSON: kept off this host, it shows later that nothing was
  // cut off or rolled back (verify_store). From any thread.
  virtual Result<std::string> anchor() { return fail(ErrorCode::kUnexpected, "this store has no trail"); }
};

// Where init puts keys, and open() looks for them, when no folder is named: $XDG_CONFIG_HOME (or ~/.config)
// /slmconv/keys/ and the first 16 digits of the store's id.
std::filesystem::path default_keys_dir(std::string_view store_id);

// --- making and checking
struct InitOptions {
  std::filesystem::path keys_dir;     // where <role>.key files go
  std::optional<uint64_t> demo_seed;  // reproducible and insecure
  std::string passphrase;             // empty: keys lie unencrypted (single-user mode)
  unsigned scrypt_log2_n = 17;        // cost of guessing the passphrase: 2^17 · 1 KiB of memory
  Random* random = nullptr;
  Clock* clock = nullptr;
};
struct InitResult {
  Info info;
  std::vector<std::filesystem::path> key_files;
};
Result<InitResult> init_store(const std::filesystem::path& dir, const InitOptions& options);

struct VerifyOptions {
  std::string admin_fingerprint;  // empty: "admin not checked"
  std::string anchor;             // text of an anchor file: lines of Store::anchor(); empty: freshness isn't shown
};
struct VerifyReport {
  int64_t n_batches = 0, n_frames = 0, n_identities = 0, n_grants = 0;
  int64_t n_orphans = 0;         // encapsulations of batches that were never committed (a crash): harmless
  int64_t n_artifact_files = 0;  // sealed files found where their names lead, and whole
  int64_t n_missing_files = 0;   // sealed once, and removed or made again since
  int64_t n_erased = 0;          // groups of calls that a signed erasure or retention took away
  int64_t n_left_over = 0;       // of these, groups with rows still there: store compact finishes them
  bool admin_checked = false;
  int64_t n_anchors = 0;         // lines that speak of a chain here, all of which hold
  int64_t anchored_counter = 0;  // newest of this store's
  int64_t anchored_ms = 0;
  std::string head;  // "complete to head H, freshness not shown"
};
// Needs no private key. Errors: kIntegrity naming what failed and where.
Result<VerifyReport> verify_store(const std::filesystem::path& dir, const VerifyOptions& options = {});

struct KeyRow {
  std::string fingerprint, role;  // role as granted
  std::string partition;          // of the epoch it holds a wrap for; "" if none
  int64_t epoch = 0;
  bool recovery = false;
  int64_t granted_ms = 0;
  bool revoked = false;
  bool pending = false;  // something it was granted isn't wrapped to it yet: keys rewrap
};
Result<std::vector<KeyRow>> list_keys(const std::filesystem::path& dir);
struct GrantOptions {
  Role role = Role::kTrainer;
  std::filesystem::path out;                     // new key file
  std::filesystem::path admin_keys;              // admin's key file or a folder with it
  std::vector<std::filesystem::path> more_keys;  // further holders' key files, such as the recovery key
  std::string passphrase;
  Random* random = nullptr;
  Clock* clock = nullptr;
};
// Makes a further identity with a role. "pending" in the result when no holder's key was at hand to rewrap.
struct GrantResult {
  std::string fingerprint;
  bool pending = false;
};
Result<GrantResult> grant_key(const std::filesystem::path& dir, const GrantOptions& options);

}  // namespace slm::store
