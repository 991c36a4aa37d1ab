// Further identities, and who holds what: see grant_key() and list_keys() in store.h, rewrap_keys() in manage.h and
// requests.h.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/file.h"
#include "store/bundle.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/requests.h"
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

namespace {

constexpr std::string_view kRequestLabel = "slmconv key request 1";
constexpr uint64_t kMaxRequestBytes = 4096;

Status refuse_admin(Role role) {
  if (role == Role::kAdmin)
    return fail(ErrorCode::kUsage, "a fleet has one admin: its key can't be granted",
                "slmconv keys grant ROLE --out FILE");
  return {};
}

// Signs an identity in, wraps to it what holders at hand hold, and commits. `made`: called once that is signed, before
// it is committed.
Result<GrantResult> sign_in(AdminRoom& room, std::optional<Role> role, const crypto::PublicIdentity& pub,
                            const std::function<Status()>& made) {
  Session& session = room.session;
  const int64_t now_ms = session.now_ms();
  const AdminLog::Signer signer{session.self.sign_secret.span(), now_ms};
  const std::string name(role ? role_name(*role) : kRecoveryRole);
  SLM_TRY(const uint32_t seq, session.admin.add_identity(name, pub, signer));
  const Grant grant =
      role ? grant_of(session.admin, seq, *role, now_ms) : Grant{seq, 0, session.admin.all_keys(), now_ms};
  SLM_CHECK(session.admin.add_grant(grant, signer));
  SLM_TRY(const NewWraps added, rewrap(session, {seq, grant.opens}, room.holders));
  if (made) SLM_CHECK(made());
  AdminCommit commit;
  commit.act.action = "grant";
  commit.act.facts = {{"identity", pub.fingerprint()}, {"role", name}};
  // The grant first: a wrap without a grant would be an integrity failure, a grant without wraps is only pending.
  commit.after = [&](Database& keys) -> Status {
    for (const Wrap& wrap : added.wraps) SLM_CHECK(save_wrap(keys, wrap));
    return {};
  };
  SLM_CHECK(commit_admin(room, std::move(commit)));
  return GrantResult{pub.fingerprint(), added.pending};
}

// Role none: a recovery key.
Result<GrantResult> make_and_grant(const fs::path& dir, const GrantOptions& options, std::optional<Role> role) {
  SLM_TRY(const bool inside, lies_in(options.out, dir));
  if (inside)
    return fail(ErrorCode::kUsage, fmt::format("{} lies in the store", options.out.string()),
                "keep keys apart from what they open");
  SLM_TRY(AdminRoom room, open_admin_room(dir, {options.admin_keys, options.more_keys, options.random, options.clock}));
  crypto::Identity made = crypto::generate_identity(*options.random);
  made.role = role ? role_name(*role) : kRecoveryRole;
  made.fleet = room.session.admin.fleet();
  made.admin = room.session.admin.admin().fingerprint();
  bool written = false;
  auto granted = sign_in(room, role, made.pub, [&]() -> Status {
    SLM_CHECK(crypto::write_key_file(options.out, made, {as_bytes(options.passphrase), {}, options.random}));
    written = true;
    return {};
  });
  if (!granted && written) {
    std::error_code ec;
    fs::remove(options.out, ec);
  }
  return granted;
}

Bytes request_bytes(const std::array<uint8_t, 16>& fleet, std::string_view role, const crypto::PublicIdentity& pub) {
  Bytes out = labelled(kRequestLabel);
  put_bytes(out, fleet);
  put_field(out, as_bytes(role));
  put_bytes(out, pub.kem);
  put_bytes(out, pub.sign);
  return out;
}

struct Request {
  std::string role;
  std::array<uint8_t, 16> fleet{};
  crypto::PublicIdentity pub;
};

Result<Request> read_request(const fs::path& file) {
  const auto bad = [&] {
    return fail(ErrorCode::kBadInput, fmt::format("{} isn't a request that keys request wrote", file.string()),
                "slmconv keys request ROLE --out KEYFILE --to FILE, where the key will be used");
  };
  auto text = read_file(file, kMaxRequestBytes);
  if (!text && text.error().code == ErrorCode::kIo) return fail(std::move(text).error());
  const auto value = text ? parse_json(*text) : Result<json::value>(json::value());
  if (!value || !value->is_object() || get_int(value->get_object(), "slmconv_key_request") != 1) return bad();
  const json::object& fields = value->get_object();
  Request out;
  crypto::Signature signature{};
  out.role = get_string(fields, "role");
  const auto take = [&](std::string_view name, std::span<uint8_t> to) {
    const auto bytes = from_hex(get_string(fields, name));
    if (!bytes || bytes->size() != to.size()) return false;
    std::copy(bytes->begin(), bytes->end(), to.begin());
    return true;
  };
  if (!take("fleet", out.fleet) || !take("x25519", out.pub.kem) || !take("ed25519", out.pub.sign) ||
      !take("signature", signature) ||
      !crypto::verify(out.pub.sign, request_bytes(out.fleet, out.role, out.pub), signature))
    return bad();
  return out;
}

// The admin's log of a store or a bundle.
Result<AdminLog> read_admin(const fs::path& from) {
  std::error_code ec;
  if (fs::is_regular_file(from, ec)) {
    SLM_TRY(Bundle bundle, read_bundle(from));
    return std::move(bundle.admin);
  }
  SLM_TRY(Databases db, open_databases(from, default_lock_wait_ms()));
  return AdminLog::load(db.log);
}

}  // namespace

Result<KeyRequested> request_key(const KeyRequest& request) {
  SLM_CHECK(refuse_admin(request.role));
  SLM_TRY(const AdminLog admin, read_admin(request.fleet_of));
  const std::string believed = admin.admin().fingerprint();
  if (!request.admin_fingerprint.empty() && request.admin_fingerprint != believed)
    return fail(ErrorCode::kWrongKey, fmt::format("the admin of {} is {}, not {}", request.fleet_of.string(), believed,
                                                  request.admin_fingerprint));
  std::error_code ec;
  if (fs::is_directory(request.fleet_of, ec)) {
    SLM_TRY(const bool inside, lies_in(request.key_file, request.fleet_of));
    if (inside)
      return fail(ErrorCode::kUsage, fmt::format("{} lies in the store", request.key_file.string()),
                  "keep keys apart from what they open");
  }
  if (fs::exists(request.request_file, ec))
    return fail(ErrorCode::kUsage, fmt::format("{} exists", request.request_file.string()), "name another file");
  crypto::Identity made = crypto::generate_identity(*request.random);
  made.role = role_name(request.role);
  made.fleet = admin.fleet();
  made.admin = believed;
  SLM_TRY(const crypto::Signature signature,
          crypto::sign(made.sign_secret.span(), request_bytes(made.fleet, made.role, made.pub)));
  SLM_CHECK(crypto::write_key_file(request.key_file, made, {as_bytes(request.passphrase), {}, request.random}));
  const json::object line{
      {"ed25519", to_hex(made.pub.sign)}, {"fleet", to_hex(made.fleet)}, {"role", made.role},
      {"signature", to_hex(signature)},   {"slmconv_key_request", 1},    {"x25519", to_hex(made.pub.kem)}};
  if (auto written = write_file_atomic(request.request_file, canonical_json(line) + "\n"); !written) {
    fs::remove(request.key_file, ec);
    return fail(std::move(written).error());
  }
  return KeyRequested{made.pub.fingerprint(), believed};
}

Result<GrantResult> grant_request(const fs::path& dir, const GrantRequest& options) {
  SLM_CHECK(refuse_admin(options.role));
  SLM_TRY(const Request request, read_request(options.request_file));
  const std::string print = request.pub.fingerprint();
  if (!options.fingerprint.empty() && (options.fingerprint.size() < 8 || !print.starts_with(options.fingerprint)))
    return fail(ErrorCode::kWrongKey,
                fmt::format("{} brings the key {}, not {}", options.request_file.string(), print, options.fingerprint),
                "ask its owner for the fingerprint that keys request printed; 8 digits of it or more");
  if (request.role != role_name(options.role))
    return fail(ErrorCode::kUsage, fmt::format("{} asks for the role {}, not {}", options.request_file.string(),
                                               request.role, role_name(options.role)));
  SLM_TRY(AdminRoom room, open_admin_room(dir, {options.admin_keys, options.more_keys, options.random, options.clock}));
  if (request.fleet != room.session.admin.fleet())
    return fail(ErrorCode::kWrongKey,
                fmt::format("{} was made for another fleet ({}, this one is {})", options.request_file.string(),
                            to_hex(request.fleet), to_hex(room.session.admin.fleet())));
  if (const IdentityRecord* known = room.session.admin.find(request.pub))
    return fail(ErrorCode::kUsage, fmt::format("{} is known here already, as {}", print, known->role),
                "slmconv keys list shows who may do what");
  return sign_in(room, options.role, request.pub, {});
}

Result<GrantResult> grant_key(const fs::path& dir, const GrantOptions& options) {
  SLM_CHECK(refuse_admin(options.role));
  return make_and_grant(dir, options, options.role);
}

Result<GrantResult> grant_recovery(const fs::path& dir, const GrantOptions& options) {
  return make_and_grant(dir, options, std::nullopt);
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
