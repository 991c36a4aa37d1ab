// Further identities, and who holds what: see grant_key() and list_keys() in store.h.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/file.h"
#include "store/commit.h"
#include "store/keyring.h"
#include "store/seen.h"
#include "store/store.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

struct AdminKey {
  fs::path file;
  crypto::Identity identity;
};
// The admin's identity from a key file, or a folder with admin.key. Errors: kIntegrity when the log is older than the
// admin knows it: what it signed last would be undone by what it signs next.
Result<AdminKey> load_admin(const fs::path& given, const AdminLog& admin) {
  std::error_code ec;
  const fs::path file = fs::is_directory(given, ec) ? given / "admin.key" : given;
  SLM_TRY(crypto::Identity identity, load_identity(file));
  if (identity.pub != admin.admin())
    return fail(ErrorCode::kWrongKey,
                fmt::format("{} isn't the key of this store's admin {}", file.string(), admin.admin().fingerprint()),
                "--identity names the admin's key file, or a folder with admin.key");
  SLM_CHECK(check_seen(file, admin));
  return AdminKey{file, std::move(identity)};
}

// Keys of the folder that hold something in this store. One that can't be read is passed over: the grant is pending
// then. Errors: kWrongKey when others may read one; kIo.
Result<std::vector<crypto::Identity>> load_holders(const fs::path& given, const AdminLog& admin) {
  std::vector<crypto::Identity> out;
  std::error_code ec;
  if (!fs::is_directory(given, ec)) return out;
  std::set<fs::path> files;
  for (fs::directory_iterator at(given, ec), end; !ec && at != end; at.increment(ec))
    if (at->path().extension() == ".key") files.insert(at->path());
  if (ec) return fail(ErrorCode::kIo, fmt::format("reading {}: {}", given.string(), ec.message()));
  for (const fs::path& file : files) {
    SLM_CHECK(check_private(file));
    auto identity = load_identity(file);
    if (identity && admin.find(identity->pub) != nullptr) out.push_back(std::move(*identity));
  }
  return out;
}

struct NewWraps {
  std::vector<Wrap> wraps;
  bool pending = false;  // some key has no holder at hand
};

// Wraps of what a grant opens, made by holders at hand. Fleet keys are signed by the admin, epochs by their holder.
Result<NewWraps> rewrap(Session& session, const Grant& grant, const std::vector<crypto::Identity>& holders) {
  NewWraps out;
  for (const KeyName& key : grant.opens) {
    bool done = false;
    for (const crypto::Identity& holder : holders) {
      const uint32_t seq = session.admin.find(holder.pub)->seq;
      if (!session.admin.may_open(seq, key)) continue;
      auto secret = open_wrap(session.db.keys, session.admin, key, {seq, holder.kem_secret.span()});
      if (!secret && secret.error().code == ErrorCode::kWrongKey) continue;
      if (!secret) return fail(std::move(secret).error());
      const bool fleet = key.what >= 16;
      const WrapMaker maker{fleet ? 1 : seq, fleet ? session.self.sign_secret.span() : holder.sign_secret.span(),
                            session.random};
      SLM_TRY(const Wrap wrap, make_wrap(session.admin, {key, grant.identity, secret->span()}, maker));
      out.wraps.push_back(wrap);
      done = true;
      break;
    }
    out.pending |= !done;
  }
  return out;
}

}  // namespace

Result<std::vector<KeyRow>> list_keys(const fs::path& dir) {
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_TRY(const AdminLog admin, AdminLog::load(db.log));
  SLM_TRY(const auto wraps, load_wraps(db.keys));
  std::vector<KeyRow> out;
  for (const Grant& grant : admin.grants()) {
    const IdentityRecord& identity = *admin.identity(grant.identity);
    KeyRow row{identity.pub.fingerprint(), identity.role, "", 0, identity.role == kRecoveryRole, grant.time_ms};
    const size_t before = out.size();
    for (const Wrap& wrap : wraps) {
      if (wrap.recipient != grant.identity || wrap.key.what >= 16) continue;
      if (std::find(grant.opens.begin(), grant.opens.end(), wrap.key) == grant.opens.end()) continue;
      row.partition = partition_name(static_cast<Partition>(wrap.key.what));
      row.epoch = wrap.key.version;
      out.push_back(row);
    }
    if (out.size() == before) out.push_back(row);
  }
  return out;
}

Result<GrantResult> grant_key(const fs::path& dir, const GrantOptions& options) {
  if (options.role == Role::kAdmin)
    return fail(ErrorCode::kUsage, "a fleet has one admin: its key can't be granted",
                "slmconv keys grant ROLE --out FILE");
  SLM_TRY(const bool inside, lies_in(options.out, dir));
  if (inside)
    return fail(ErrorCode::kUsage, fmt::format("{} lies in the store", options.out.string()),
                "keep keys apart from what they open");
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_TRY(AdminLog admin, AdminLog::load(db.log));
  SLM_TRY(const Id16 store, read_store_id(db.log, admin));
  const fs::path keys = options.admin_keys.empty() ? default_keys_dir(to_hex(store)) : options.admin_keys;
  SLM_TRY(AdminKey admin_key, load_admin(keys, admin));
  SLM_TRY(const std::vector<crypto::Identity> holders, load_holders(keys, admin));
  const uint32_t n_before = admin.n_entries();

  crypto::Identity made = crypto::generate_identity(*options.random);
  made.role = role_name(options.role);
  made.fleet = admin.fleet();
  made.admin = admin.admin().fingerprint();
  Session session = make_session({dir, std::move(db), std::move(admin), store, std::move(admin_key.identity), 1,
                                  Role::kAdmin, options.random, options.clock});
  const int64_t now_ms = session.now_ms();
  const AdminLog::Signer signer{session.self.sign_secret.span(), now_ms};
  SLM_TRY(const uint32_t seq, session.admin.add_identity(made.role, made.pub, signer));
  const Grant grant = grant_of(session.admin, seq, options.role, now_ms);
  SLM_CHECK(session.admin.add_grant(grant, signer));
  SLM_TRY(const NewWraps added, rewrap(session, grant, holders));

  json::object facts = admin_facts(session.admin);
  facts["identity"] = made.pub.fingerprint();
  facts["role"] = made.role;
  SLM_TRY(Pending pending, prepare_act(session, {"grant", std::move(facts), "", 0}));
  pending.also = [&](Database& log) { return session.admin.save(log, n_before); };
  SLM_CHECK(crypto::write_key_file(options.out, made, {as_bytes(options.passphrase), {}, options.random}));
  const auto commit_all = [&]() -> Status {
    SLM_TRY(const FileLock lock, session.lock());
    SLM_TRY(const int64_t n_now, session.db.log.integer("SELECT max(seq) FROM admin"));
    if (n_now != n_before)
      return fail(ErrorCode::kLocked, "another grant was made at the same moment", "run the command again");
    // The grant first: a wrap without a grant would be an integrity failure, a grant without wraps is only pending.
    SLM_CHECK(commit_locked(session, pending, lock));
    SLM_TRY(auto transaction, session.db.keys.begin());
    for (const Wrap& wrap : added.wraps) SLM_CHECK(save_wrap(session.db.keys, wrap));
    SLM_CHECK(transaction.commit());
    return {};
  };
  if (auto done = commit_all(); !done) {
    std::error_code ec;
    fs::remove(options.out, ec);
    return fail(std::move(done).error());
  }
  SLM_CHECK(check_seen(admin_key.file, session.admin));
  return GrantResult{made.pub.fingerprint(), added.pending};
}

}  // namespace slm::store
