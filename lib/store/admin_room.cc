// The admin at work: opening its room, wrapping keys for others, committing what it signed. See keyring.h.
#include <fmt/format.h>

#include <set>

#include "store/keyring.h"
#include "store/seen.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

struct AdminKey {
  fs::path file;
  crypto::Identity identity;
};
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

}  // namespace

Result<std::vector<crypto::Identity>> load_holders(const AdminRoomOptions& options, const AdminLog& admin) {
  std::vector<crypto::Identity> out;
  const auto known = [&](const crypto::Identity& identity) {
    const IdentityRecord* record = admin.find(identity.pub);
    return record != nullptr && record->seq != 1 && admin.revocation(record->seq) == nullptr;
  };
  for (const fs::path& file : options.more) {
    SLM_TRY(crypto::Identity identity, load_identity(file));
    if (!known(identity))
      return fail(ErrorCode::kWrongKey, fmt::format("{} holds nothing in this store", file.string()));
    out.push_back(std::move(identity));
  }
  std::error_code ec;
  if (!fs::is_directory(options.keys, ec)) return out;
  std::set<fs::path> files;
  for (fs::directory_iterator at(options.keys, ec), end; !ec && at != end; at.increment(ec))
    if (at->path().extension() == ".key") files.insert(at->path());
  if (ec) return fail(ErrorCode::kIo, fmt::format("reading {}: {}", options.keys.string(), ec.message()));
  for (const fs::path& file : files) {
    SLM_CHECK(check_private(file));
    auto identity = load_identity(file);
    if (identity && known(*identity)) out.push_back(std::move(*identity));
  }
  // The recovery recipient is asked last: its key should lie elsewhere.
  std::stable_partition(out.begin(), out.end(), [](const auto& identity) { return identity.role != kRecoveryRole; });
  return out;
}

Result<AdminRoom> open_admin_room(const fs::path& dir, const AdminRoomOptions& given) {
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_TRY(AdminLog admin, AdminLog::load(db.log));
  SLM_TRY(const Id16 store, read_store_id(db.log, admin));
  AdminRoomOptions options = given;
  if (options.keys.empty()) options.keys = default_keys_dir(to_hex(store));
  crypto::disable_core_dumps();
  SLM_TRY(AdminKey key, load_admin(options.keys, admin));
  SLM_TRY(auto holders, load_holders(options, admin));
  const uint32_t n_before = admin.n_entries();
  return AdminRoom{make_session({dir, std::move(db), std::move(admin), store, std::move(key.identity), 1, Role::kAdmin,
                                 options.random, options.clock}),
                   key.file, std::move(holders), n_before, std::nullopt};
}

Result<Entry> commit_admin(AdminRoom& room, AdminCommit commit) {
  Session& session = room.session;
  for (const auto& item : admin_facts(session.admin)) commit.act.facts[item.key()] = item.value();
  SLM_TRY(Pending pending, prepare_act(session, commit.act));
  pending.also = [&](Database& log) -> Status {
    SLM_CHECK(session.admin.save(log, room.n_before));
    return commit.also ? commit.also(log) : Status{};
  };
  if (!room.lock) {
    SLM_TRY(FileLock taken, session.lock());
    room.lock.emplace(std::move(taken));
  }
  struct Release {
    std::optional<FileLock>& lock;
    ~Release() { lock.reset(); }
  } release{room.lock};
  SLM_TRY(const int64_t n_now, session.db.log.integer("SELECT max(seq) FROM admin"));
  if (n_now != room.n_before)
    return fail(ErrorCode::kLocked, "the admin signed something else at the same moment", "run the command again");
  const auto in_keys = [&](const std::function<Status(Database&)>& change) -> Status {
    if (!change) return {};
    SLM_TRY(auto transaction, session.db.keys.begin());
    SLM_CHECK(change(session.db.keys));
    return transaction.commit();
  };
  SLM_CHECK(in_keys(commit.before));
  SLM_TRY(Entry entry, commit_locked(session, pending, *room.lock));
  SLM_CHECK(in_keys(commit.after));
  room.n_before = session.admin.n_entries();
  SLM_CHECK(check_seen(room.admin_file, session.admin));
  return entry;
}

Result<NewWraps> rewrap(Session& session, const RewrapRequest& request, const std::vector<crypto::Identity>& holders) {
  NewWraps out;
  for (const KeyName& key : request.keys) {
    bool done = false;
    for (const crypto::Identity& holder : holders) {
      const uint32_t seq = session.admin.find(holder.pub)->seq;
      if (!session.admin.may_open(seq, key)) continue;
      auto secret = open_wrap(session.db.keys, session.admin, key, {seq, holder.kem_secret.span()});
      if (!secret && secret.error().code == ErrorCode::kWrongKey) continue;
      if (!secret) return fail(std::move(secret).error());
      const bool by_admin = key.what >= 16 && session.self_seq == 1;
      const WrapMaker maker{by_admin ? 1 : seq, by_admin ? session.self.sign_secret.span() : holder.sign_secret.span(),
                            session.random};
      SLM_TRY(const Wrap wrap, make_wrap(session.admin, {key, request.recipient, secret->span()}, maker));
      out.wraps.push_back(wrap);
      done = true;
      break;
    }
    out.pending |= !done;
  }
  return out;
}

}  // namespace slm::store
