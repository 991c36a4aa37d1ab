// Making a store: a fleet of one, its identities, epochs and fleet keys. See init_store() in store.h.
#include <fmt/format.h>
#include <sys/stat.h>

#include "core/file.h"
#include "store/commit.h"
#include "store/keyring.h"
#include "store/store.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

struct Member {
  std::string role;
  crypto::Identity identity;
  uint32_t seq = 0;
};

// Who makes a partition's epochs: a reader.
constexpr std::pair<Partition, Role> kMakers[] = {
    {Partition::kRawMeta, Role::kCurator},     {Partition::kRawBody, Role::kCurator},
    {Partition::kCuratedMeta, Role::kTrainer}, {Partition::kCuratedBody, Role::kTrainer},
    {Partition::kAudit, Role::kAuditor},
};

struct Fleet {
  std::vector<Member> members;  // admin first
  AdminLog admin;
  std::vector<Wrap> wraps;

  const Member& member(std::string_view role) const {
    for (const Member& m : members)
      if (m.role == role) return m;
    return members.front();
  }
};

Result<Fleet> make_fleet(Random& random, bool demo, const Id16& store, int64_t time_ms) {
  Fleet fleet;
  Id16 id;
  random.fill(id);
  const std::string roles[] = {"admin", "collector", "curator", "trainer", "auditor", std::string(kRecoveryRole)};
  for (const std::string& role : roles) fleet.members.push_back({role, crypto::generate_identity(random), 0});
  Member& founder = fleet.members.front();
  SLM_TRY(fleet.admin, AdminLog::found(founder.identity, id, demo, time_ms));
  AdminLog& admin = fleet.admin;
  const AdminLog::Signer signer{founder.identity.sign_secret.span(), time_ms};
  for (Member& m : fleet.members) {
    m.identity.role = m.role;
    m.identity.fleet = id;
    m.identity.admin = admin.admin().fingerprint();
    m.seq = 1;
    if (&m != &founder) {
      SLM_TRY(m.seq, admin.add_identity(m.role, m.identity.pub, signer));
    }
  }
  SLM_CHECK(admin.add_store(store, signer));

  struct NewKey {
    KeyName name;
    const Member* maker;  // who signs the wraps
    crypto::SecretBytes secret;
  };
  std::vector<NewKey> keys;
  for (const auto& [partition, role] : kMakers) {
    crypto::KemKeyPair pair = crypto::generate_kem_key(random);
    const Member& maker = fleet.member(role_name(role));
    SLM_CHECK(admin.add_epoch({partition, 1, crypto::Aead::kAes256Gcm, pair.pub, maker.seq}, signer));
    keys.push_back({{what_of(partition), 1}, &maker, std::move(pair.secret)});
  }
  for (const FleetKey key : kFleetKeys) {
    crypto::SecretBytes secret(32);
    random.fill(secret.writable());
    SLM_CHECK(admin.add_fleet_key({key, 1, fleet_key_commitment(key, 1, secret.span())}, signer));
    keys.push_back({{what_of(key), 1}, &founder, std::move(secret)});
  }
  for (const Member& m : fleet.members) {
    Grant grant{m.seq, 0, admin.all_keys(), time_ms};  // the recovery recipient opens everything and writes nothing
    if (const auto role = parse_role(m.role)) grant = grant_of(admin, m.seq, *role, time_ms);
    SLM_CHECK(admin.add_grant(grant, signer));
    for (const NewKey& key : keys) {
      if (!admin.may_open(m.seq, key.name)) continue;
      const WrapMaker maker{key.maker->seq, key.maker->identity.sign_secret.span(), &random};
      SLM_TRY(const Wrap wrap, make_wrap(admin, {key.name, m.seq, key.secret.span()}, maker));
      fleet.wraps.push_back(wrap);
    }
  }
  return fleet;
}

// Removes the files and folders it was told of unless kept; folders only if nothing else came into them.
struct Made {
  std::vector<fs::path> files, folders;
  bool keep = false;

  // Before a folder is made: notes which of its parents, and itself, don't exist yet.
  void note_missing(const fs::path& folder) {
    std::error_code ec;
    for (fs::path at = folder; !at.empty() && !fs::exists(at, ec) && at != at.parent_path(); at = at.parent_path())
      folders.push_back(at);
  }
  ~Made() {
    std::error_code ec;
    if (keep) return;
    for (const fs::path& file : files) fs::remove(file, ec);
    for (const fs::path& folder : folders) fs::remove(folder, ec);
  }
};

}  // namespace

Result<fs::path> new_store_place(const fs::path& dir) {
  if (dir.empty()) return fail(ErrorCode::kUsage, "a store needs a folder", "slmconv init STORE");
  SLM_TRY(const fs::path place, resolve_path(dir));
  std::error_code ec;
  if (fs::exists(place, ec) && !(fs::is_directory(place, ec) && fs::is_empty(place, ec)))
    return fail(ErrorCode::kUsage, fmt::format("{} exists: a store is never overwritten", dir.string()),
                "name a new folder");
  // A whole store takes the folder's place at once, which would leave the caller in a folder that is gone.
  if (fs::equivalent(place, fs::current_path(ec), ec))
    return fail(ErrorCode::kUsage, fmt::format("{} is the current folder, which can't become a store", dir.string()),
                "name a folder in it: slmconv init store");
  return place;
}

fs::path default_keys_dir(std::string_view store_id) {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  fs::path base =
      config != nullptr && *config != '\0' ? fs::path(config) : fs::path(home != nullptr ? home : ".") / ".config";
  return base / "slmconv" / "keys" / std::string(store_id.substr(0, 16));
}

Result<InitResult> init_store(const fs::path& dir, const InitOptions& options) {
  SLM_TRY(const fs::path place, new_store_place(dir));
  const bool demo = options.demo_seed.has_value();
  const std::unique_ptr<Random> seeded = demo ? seeded_random(*options.demo_seed) : nullptr;
  const std::unique_ptr<Clock> demo_clock = demo ? fixed_clock(kDemoTime_ms) : nullptr;
  Random* const random = demo ? seeded.get() : options.random;
  Clock* const clock = demo ? demo_clock.get() : options.clock;

  Id16 store;
  random->fill(store);
  SLM_TRY(Fleet fleet, make_fleet(*random, demo, store, clock->now_ms()));
  const fs::path keys_dir = options.keys_dir.empty() ? default_keys_dir(to_hex(store)) : options.keys_dir;

  SLM_TRY(const bool keys_inside, lies_in(keys_dir, place));
  if (keys_inside)
    return fail(ErrorCode::kUsage,
                fmt::format("the keys' folder {} lies in the store {}", keys_dir.string(), dir.string()),
                "keep keys apart from what they open: name another folder with --keys");

  Made made;  // goes after the staged folder
  made.note_missing(place.parent_path());
  SLM_TRY(StagedDir staged, StagedDir::create(place));
  if (chmod(staged.path().c_str(), 0700) != 0) return fail(errno_error(staged.path(), "setting permissions of"));
  made.note_missing(keys_dir);
  SLM_CHECK(make_dirs(keys_dir, 0700));
  for (const Member& m : fleet.members) {
    const fs::path file = keys_dir / (m.role + ".key");
    SLM_CHECK(
        crypto::write_key_file(file, m.identity, {as_bytes(options.passphrase), {options.scrypt_log2_n}, random}));
    made.files.push_back(file);
  }
  SLM_TRY(Databases db, create_databases(staged.path()));
  {
    SLM_TRY(auto transaction, db.keys.begin());
    for (const Wrap& wrap : fleet.wraps) SLM_CHECK(save_wrap(db.keys, wrap));
    SLM_CHECK(transaction.commit());
  }
  InitResult result;
  {
    Session session = make_session({staged.path(), std::move(db), std::move(fleet.admin), store,
                                    std::move(fleet.members.front().identity), 1, Role::kAdmin, random, clock});
    SLM_TRY(Pending pending, prepare_act(session, {"init", admin_facts(session.admin), "", 0}));
    pending.also = [&](Database& log) { return session.admin.save(log, 0); };
    SLM_TRY(const FileLock lock, session.lock());
    SLM_CHECK(commit_locked(session, pending, lock));
    SLM_CHECK(session.db.log.checkpoint(true));
    SLM_CHECK(session.db.keys.checkpoint(true));
    SLM_TRY(result.info, read_info(staged.path(), session.db, session.admin));
  }
  SLM_CHECK(make_dirs(staged.path() / "artifacts"));
  SLM_CHECK(staged.commit_new());
  made.keep = true;
  result.key_files = made.files;
  return result;
}

}  // namespace slm::store
