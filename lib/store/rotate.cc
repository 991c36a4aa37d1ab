// New epochs, and the end of an identity: see rotate_keys() and revoke_key() in manage.h.
//
// What a rotation wraps goes into keys.db before the admin's signature goes into log.db: cut off between, there are
// wraps of a key that nobody seals to; the other way round there would be an epoch that nobody can open.
#include <fmt/format.h>

#include <algorithm>

#include "store/keyring.h"
#include "store/manage.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

constexpr KeyName kPseudonymKey(uint32_t version) { return {what_of(FleetKey::kPseudonym), version}; }

// What is signed and wrapped, before any of it is committed.
struct Rotation {
  std::vector<KeyName> keys;
  std::vector<Wrap> wraps;
};

Status wrap_to_all(AdminRoom& room, Rotation& out, KeyName key, ByteSpan secret, const WrapMaker& maker) {
  AdminLog& admin = room.session.admin;
  const AdminLog::Signer signer{room.session.self.sign_secret.span(), room.session.now_ms()};
  std::vector<uint32_t> recipients;
  for (const auto& [seq, identity] : admin.identities()) {
    const auto role = parse_role(identity.role);
    const bool reads = identity.role == kRecoveryRole ||
                       (role && (key.what < 16 ? may_read(*role, static_cast<Partition>(key.what))
                                               : may_hold(*role, static_cast<FleetKey>(key.what - 16))));
    if (reads && admin.revocation(seq) == nullptr) recipients.push_back(seq);
  }
  for (const uint32_t seq : recipients) {
    SLM_CHECK(admin.add_grant({seq, 0, {key}, signer.time_ms}, signer));
    SLM_TRY(const Wrap wrap, make_wrap(admin, {key, seq, secret}, maker));
    out.wraps.push_back(wrap);
  }
  out.keys.push_back(key);
  return {};
}

Status add_epoch(AdminRoom& room, Rotation& out, Partition partition) {
  Session& session = room.session;
  const EpochRecord& current = session.admin.current_epoch(partition);
  const crypto::Identity* maker = nullptr;
  uint32_t maker_seq = 0;
  for (const crypto::Identity& holder : room.holders) {
    const uint32_t seq = session.admin.find(holder.pub)->seq;
    if (!session.admin.may_open(seq, {what_of(partition), current.number})) continue;
    maker = &holder;
    maker_seq = seq;
    break;
  }
  if (maker == nullptr)
    return fail(ErrorCode::kWrongKey,
                fmt::format("a new epoch of {} is made by one who may read it, and no such key is at hand",
                            partition_name(partition)),
                "--identity names a folder with the admin's key and a reader's");
  crypto::KemKeyPair pair = crypto::generate_kem_key(*session.random);
  const AdminLog::Signer signer{session.self.sign_secret.span(), session.now_ms()};
  const KeyName key{what_of(partition), current.number + 1};
  SLM_CHECK(session.admin.add_epoch({partition, key.version, current.aead, pair.pub, maker_seq, 0}, signer));
  return wrap_to_all(room, out, key, pair.secret.span(), {maker_seq, maker->sign_secret.span(), session.random});
}

Status add_pseudonym_key(AdminRoom& room, Rotation& out) {
  Session& session = room.session;
  const KeyName key = kPseudonymKey(session.admin.current_fleet_key(FleetKey::kPseudonym).version + 1);
  crypto::SecretBytes secret(32);
  session.random->fill(secret.writable());
  const AdminLog::Signer signer{session.self.sign_secret.span(), session.now_ms()};
  const Digest commitment = fleet_key_commitment(FleetKey::kPseudonym, key.version, secret.span());
  SLM_CHECK(session.admin.add_fleet_key({FleetKey::kPseudonym, key.version, commitment}, signer));
  return wrap_to_all(room, out, key, secret.span(), {1, session.self.sign_secret.span(), session.random});
}

// Collectors keep no old pseudonym keys.
Status drop_old_pseudonym_wraps(const AdminLog& admin, Database& keys) {
  const uint32_t current = admin.current_fleet_key(FleetKey::kPseudonym).version;
  for (const auto& [seq, identity] : admin.identities())
    if (identity.role == role_name(Role::kCollector))
      for (uint32_t version = 1; version < current; ++version)
        SLM_CHECK(delete_wrap(keys, kPseudonymKey(version), seq));
  return {};
}

// That a recovery key besides this one is wrapped to whatever there is.
Status another_recovers(Session& session, const IdentityRecord& gone) {
  SLM_TRY(const auto wraps, load_wraps(session.db.keys));
  const std::vector<KeyName> keys = session.admin.all_keys();
  for (const auto& [seq, identity] : session.admin.identities()) {
    if (identity.role != kRecoveryRole || seq == gone.seq || session.admin.revocation(seq) != nullptr) continue;
    const auto holds = [&, recipient = seq](const KeyName& key) {
      return std::any_of(wraps.begin(), wraps.end(),
                         [&](const Wrap& wrap) { return wrap.recipient == recipient && wrap.key == key; });
    };
    if (std::all_of(keys.begin(), keys.end(), holds)) return {};
  }
  return fail(
      ErrorCode::kUsage, "the only recovery key that opens everything can't be revoked",
      "slmconv keys grant recovery --out KEYFILE makes another; where that one is pending, slmconv keys rewrap");
}

json::array titles(const std::vector<KeyName>& keys) {
  json::array out;
  for (const KeyName& key : keys) out.emplace_back(key_title(key));
  return out;
}

}  // namespace

Result<RotateResult> rotate_keys(const fs::path& dir, const std::vector<std::string>& what, const KeyOptions& options) {
  SLM_TRY(AdminRoom room, open_admin_room(dir, {options.keys, options.more_keys, options.random, options.clock}));
  std::vector<Partition> partitions;
  bool names = false;
  for (const std::string& name : what) {
    const bool all = name == "all";
    bool known = all || name == fleet_key_name(FleetKey::kPseudonym);
    names |= known;
    for (const Partition partition : kPartitions)
      if (all || name == partition_name(partition)) {
        partitions.push_back(partition);
        // A source's pseudonym is good for one epoch of what it is written in.
        names |= partition == Partition::kRawMeta;
        known = true;
      }
    if (!known)
      return fail(ErrorCode::kUsage, fmt::format("nothing that rotates is called {}", name),
                  "raw-meta, raw-body, curated-meta, curated-body, audit, pseudonym or all");
  }
  std::sort(partitions.begin(), partitions.end());
  partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
  Rotation made;
  for (const Partition partition : partitions) SLM_CHECK(add_epoch(room, made, partition));
  if (names) SLM_CHECK(add_pseudonym_key(room, made));
  if (made.keys.empty()) return fail(ErrorCode::kUsage, "rotate what?", "slmconv keys rotate all");

  AdminCommit commit;
  commit.act.action = "rotate";
  commit.act.facts = {{"keys", titles(made.keys)}};
  commit.before = [&](Database& keys) -> Status {
    for (const Wrap& wrap : made.wraps) SLM_CHECK(save_wrap(keys, wrap));
    return {};
  };
  commit.after = [&](Database& keys) { return drop_old_pseudonym_wraps(room.session.admin, keys); };
  SLM_CHECK(commit_admin(room, std::move(commit)));
  RotateResult out;
  for (const KeyName& key : made.keys) out.keys.push_back(key_title(key));
  out.n_wraps = static_cast<int64_t>(made.wraps.size());
  return out;
}

Result<RevokeResult> revoke_key(const fs::path& dir, std::string_view fingerprint, const KeyOptions& options) {
  SLM_TRY(AdminRoom room, open_admin_room(dir, {options.keys, options.more_keys, options.random, options.clock}));
  Session& session = room.session;
  const IdentityRecord* gone = nullptr;
  for (const auto& [seq, identity] : session.admin.identities())
    if (fingerprint.size() >= 8 && identity.pub.fingerprint().starts_with(fingerprint)) {
      if (gone != nullptr)
        return fail(ErrorCode::kUsage, fmt::format("several fingerprints begin with {}", fingerprint));
      gone = &identity;
    }
  if (gone == nullptr)
    return fail(ErrorCode::kUsage, fmt::format("no identity has the fingerprint {}", fingerprint),
                "slmconv keys list shows them; 8 digits of one are enough");
  if (gone->seq == 1) return fail(ErrorCode::kUsage, "the admin can't be revoked");
  if (session.admin.revocation(gone->seq) != nullptr)
    return fail(ErrorCode::kUsage, fmt::format("{} was revoked before", gone->pub.fingerprint()));
  if (gone->role == kRecoveryRole) SLM_CHECK(another_recovers(session, *gone));
  const uint32_t seq = gone->seq;
  const std::string role = gone->role, print = gone->pub.fingerprint();
  std::erase_if(room.holders, [&](const crypto::Identity& holder) { return holder.pub == gone->pub; });

  // All it may open is replaced, while it still may: then it may nothing.
  std::vector<Partition> partitions;
  for (const Partition partition : kPartitions)
    if (session.admin.may_open(seq, {what_of(partition), session.admin.current_epoch(partition).number}))
      partitions.push_back(partition);
  const bool names =
      session.admin.may_open(seq, kPseudonymKey(session.admin.current_fleet_key(FleetKey::kPseudonym).version));

  // Under the lock until it is signed: what the revocation names as last is last.
  SLM_TRY(FileLock lock, session.lock());
  room.lock.emplace(std::move(lock));
  Revocation revocation{seq, {}, session.now_ms()};
  {
    SLM_TRY(Statement stmt,
            session.db.log.prepare("SELECT store, max(counter) FROM entries WHERE writer = ? GROUP BY store"));
    stmt.bind(1, int64_t{seq});
    while (true) {
      SLM_TRY(const bool row, stmt.step());
      if (!row) break;
      ChainHead head;
      SLM_TRY(head.store, stmt.fixed<16>(0, "a store id"));
      head.counter = stmt.integer(1);
      revocation.last.push_back(head);
    }
  }
  for (ChainHead& head : revocation.last) {
    SLM_TRY(const auto entry, find_entry(session.db.log, head.store, head.counter));
    if (!entry) return fail(ErrorCode::kIntegrity, "the trail changed while it was read");
    SLM_CHECK(session.check(*entry));
    head.hash = entry->hash();
  }
  const AdminLog::Signer signer{session.self.sign_secret.span(), revocation.time_ms};
  SLM_CHECK(session.admin.add_revocation(revocation, signer));
  Rotation made;
  for (const Partition partition : partitions) SLM_CHECK(add_epoch(room, made, partition));
  if (names) SLM_CHECK(add_pseudonym_key(room, made));

  RevokeResult out{print, role, 0, {}, 0};
  AdminCommit commit;
  commit.act.action = "revoke";
  json::array last;
  for (const ChainHead& head : revocation.last)
    last.push_back(json::object{{"counter", head.counter}, {"hash", to_hex(head.hash)}, {"store", to_hex(head.store)}});
  commit.act.facts = {{"identity", print}, {"keys", titles(made.keys)}, {"last", std::move(last)}, {"role", role}};
  commit.before = [&](Database& keys) -> Status {
    SLM_TRY(Statement stmt, keys.prepare("SELECT count(*) FROM wraps WHERE recipient = ?"));
    SLM_TRY(const bool row, stmt.bind(1, int64_t{seq}).step());
    out.n_wraps_deleted = row ? stmt.integer(0) : 0;
    stmt.reset();
    SLM_TRY(Statement gone_wraps, keys.prepare("DELETE FROM wraps WHERE recipient = ?"));
    SLM_CHECK(gone_wraps.bind(1, int64_t{seq}).run());
    for (const Wrap& wrap : made.wraps) SLM_CHECK(save_wrap(keys, wrap));
    return {};
  };
  commit.after = [&](Database& keys) { return drop_old_pseudonym_wraps(room.session.admin, keys); };
  SLM_CHECK(commit_admin(room, std::move(commit)));
  for (const KeyName& key : made.keys) out.new_keys.push_back(key_title(key));
  out.n_heads = static_cast<int64_t>(revocation.last.size());
  return out;
}

}  // namespace slm::store
