// Further identities, and who holds what: see grant_key(), rewrap_keys() and list_keys() in store.h and manage.h.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/file.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/seen.h"

namespace slm::store {

namespace fs = std::filesystem;

Result<std::vector<KeyRow>> list_keys(const fs::path& dir) {
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_TRY(const AdminLog admin, AdminLog::load(db.log));
  SLM_TRY(const auto wraps, load_wraps(db.keys));
  std::map<uint32_t, int64_t> granted;  // first grant
  for (const Grant& grant : admin.grants()) granted.emplace(grant.identity, grant.time_ms);
  std::vector<KeyRow> out;
  for (const auto& [seq, granted_ms] : granted) {
    const IdentityRecord& identity = *admin.identity(seq);
    KeyRow row{identity.pub.fingerprint(),     identity.role, "",    0,
               identity.role == kRecoveryRole, granted_ms,    false, false};
    row.revoked = admin.revocation(seq) != nullptr;
    std::set<KeyName> held;
    for (const Wrap& wrap : wraps)
      if (wrap.recipient == seq) held.insert(wrap.key);
    for (const KeyName& key : admin.all_keys()) row.pending |= admin.may_open(seq, key) && !held.contains(key);
    const size_t before = out.size();
    for (const KeyName& key : held) {
      if (key.what >= 16 || !admin.may_open(seq, key)) continue;
      row.partition = partition_name(static_cast<Partition>(key.what));
      row.epoch = key.version;
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
  SLM_TRY(AdminRoom room, open_admin_room(dir, {options.admin_keys, options.more_keys, options.random, options.clock}));
  Session& session = room.session;

  crypto::Identity made = crypto::generate_identity(*options.random);
  made.role = role_name(options.role);
  made.fleet = session.admin.fleet();
  made.admin = session.admin.admin().fingerprint();
  const int64_t now_ms = session.now_ms();
  const AdminLog::Signer signer{session.self.sign_secret.span(), now_ms};
  SLM_TRY(const uint32_t seq, session.admin.add_identity(made.role, made.pub, signer));
  const Grant grant = grant_of(session.admin, seq, options.role, now_ms);
  SLM_CHECK(session.admin.add_grant(grant, signer));
  SLM_TRY(const NewWraps added, rewrap(session, {seq, grant.opens}, room.holders));

  SLM_CHECK(crypto::write_key_file(options.out, made, {as_bytes(options.passphrase), {}, options.random}));
  AdminCommit commit;
  commit.act.action = "grant";
  commit.act.facts = {{"identity", made.pub.fingerprint()}, {"role", made.role}};
  // The grant first: a wrap without a grant would be an integrity failure, a grant without wraps is only pending.
  commit.after = [&](Database& keys) -> Status {
    for (const Wrap& wrap : added.wraps) SLM_CHECK(save_wrap(keys, wrap));
    return {};
  };
  if (auto done = commit_admin(room, std::move(commit)); !done) {
    std::error_code ec;
    fs::remove(options.out, ec);
    return fail(std::move(done).error());
  }
  return GrantResult{made.pub.fingerprint(), added.pending};
}

Result<RewrapResult> rewrap_keys(const fs::path& dir, const KeyOptions& options) {
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_TRY(AdminLog admin, AdminLog::load(db.log));
  SLM_TRY(const Id16 store, read_store_id(db.log, admin));
  AdminRoomOptions room{options.keys, options.more_keys, options.random, options.clock};
  std::error_code ec;
  if (room.keys.empty()) room.keys = default_keys_dir(to_hex(store));
  if (!fs::is_directory(room.keys, ec)) room.more.push_back(room.keys);  // one holder's key file
  crypto::disable_core_dumps();
  SLM_TRY(auto holders, load_holders(room, admin));
  if (holders.empty())
    return fail(ErrorCode::kWrongKey, fmt::format("{} holds no key of this store", room.keys.string()),
                "--identity names a folder with the keys of those who may open what is to be wrapped");
  const crypto::Identity& first = holders.front();
  const uint32_t seq = admin.find(first.pub)->seq;
  const bool acts = admin.may_sign(seq, EntryKind::kAct);
  crypto::Identity self;
  self.role = first.role, self.fleet = first.fleet, self.admin = first.admin, self.pub = first.pub;
  self.kem_secret = crypto::SecretBytes::copy_of(first.kem_secret.span());
  self.sign_secret = crypto::SecretBytes::copy_of(first.sign_secret.span());
  Session session = make_session({dir, std::move(db), std::move(admin), store, std::move(self), seq,
                                  parse_role(first.role).value_or(Role::kTrainer), options.random, options.clock});
  SLM_TRY(const auto wraps, load_wraps(session.db.keys));
  std::set<std::pair<uint32_t, KeyName>> held;
  for (const Wrap& wrap : wraps) held.insert({wrap.recipient, wrap.key});

  RewrapResult out;
  std::vector<Wrap> added;
  for (const auto& [id, record] : session.admin.identities()) {
    std::vector<KeyName> missing;
    for (const KeyName& key : session.admin.all_keys()) {
      // Old pseudonym keys are a curator's only: a collector's wraps of them are deleted when they are replaced.
      const bool old_name = key.what == what_of(FleetKey::kPseudonym) &&
                            key.version != session.admin.current_fleet_key(FleetKey::kPseudonym).version &&
                            record.role == role_name(Role::kCollector);
      if (!old_name && session.admin.may_open(id, key) && !held.contains({id, key})) missing.push_back(key);
    }
    SLM_TRY(NewWraps made, rewrap(session, {id, missing}, holders));
    out.n_pending += static_cast<int64_t>(missing.size() - made.wraps.size());
    added.insert(added.end(), made.wraps.begin(), made.wraps.end());
  }
  out.n_wraps = static_cast<int64_t>(added.size());
  if (added.empty()) return out;
  if (acts) SLM_CHECK(commit_act(session, {"rewrap", {{"wraps", out.n_wraps}}, "", 0}));
  SLM_TRY(const FileLock lock, session.lock());
  SLM_TRY(auto transaction, session.db.keys.begin());
  for (const Wrap& wrap : added) SLM_CHECK(save_wrap(session.db.keys, wrap));
  SLM_CHECK(transaction.commit());
  return out;
}

}  // namespace slm::store
