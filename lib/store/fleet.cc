// Stores of one fleet: see make_bundle(), join_store() and update_store() in manage.h.
#include <fmt/format.h>
#include <sys/stat.h>

#include <set>

#include "core/file.h"
#include "store/bundle.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/merkle.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "slmconv bundle 1\n";
constexpr uint64_t kMaxBundleBytes = 256 << 20;

}  // namespace

Bytes encode_bundle(const Bundle& bundle) {
  Bytes out = labelled(kMagic);
  put_u32(out, bundle.admin.n_entries());
  for (const AdminEntry& e : bundle.admin.entries()) {
    Bytes item;
    put_bytes(item, e.prev);
    item.push_back(static_cast<uint8_t>(e.kind));
    put_u64(item, static_cast<uint64_t>(e.time_ms));
    put_field(item, e.payload);
    put_bytes(item, e.signature);
    put_field(out, item);
  }
  put_u32(out, static_cast<uint32_t>(bundle.wraps.size()));
  for (const Wrap& wrap : bundle.wraps) {
    out.push_back(wrap.key.what);
    put_u32(out, wrap.key.version);
    put_u32(out, wrap.recipient);
    put_u32(out, wrap.maker);
    put_bytes(out, wrap.enc);
    put_bytes(out, wrap.sealed);
    put_bytes(out, wrap.signature);
  }
  out.push_back(bundle.init ? 1 : 0);
  if (bundle.init) {
    const Entry& e = *bundle.init;
    put_bytes(out, e.store);
    put_bytes(out, e.batch);
    put_u32(out, e.admin_seq);
    put_u64(out, static_cast<uint64_t>(e.hour));
    put_u32(out, e.meta_epoch);
    put_field(out, as_bytes(e.facts));
    put_field(out, e.details);
    put_bytes(out, e.signature);
  }
  return out;
}

Result<Bundle> decode_bundle(ByteSpan bytes) {
  if (!as_text(bytes).starts_with(kMagic)) return fail(ErrorCode::kBadInput, "this isn't a bundle of a fleet");
  Cursor in(bytes.subspan(kMagic.size()));
  const uint32_t n_entries = in.u32();
  std::vector<AdminEntry> entries;
  for (uint32_t i = 0; i < n_entries && !in.failed(); ++i) {
    Cursor item(in.field());
    AdminEntry e;
    e.seq = i + 1;
    e.prev = item.fixed<32>();
    e.kind = static_cast<AdminKind>(item.u8());
    e.time_ms = static_cast<int64_t>(item.u64());
    const ByteSpan payload = item.field();
    e.payload.assign(payload.begin(), payload.end());
    e.signature = item.fixed<64>();
    SLM_CHECK(item.done("a bundle's admin entry"));
    entries.push_back(std::move(e));
  }
  Bundle out;
  const uint32_t n_wraps = in.u32();
  for (uint32_t i = 0; i < n_wraps && !in.failed(); ++i) {
    Wrap wrap;
    wrap.key.what = in.u8();
    wrap.key.version = in.u32();
    wrap.recipient = in.u32();
    wrap.maker = in.u32();
    wrap.enc = in.fixed<32>();
    wrap.sealed = in.fixed<48>();
    wrap.signature = in.fixed<64>();
    out.wraps.push_back(wrap);
  }
  const uint8_t has_init = in.u8();
  if (has_init == 1) {
    Entry e;
    e.store = in.fixed<16>();
    e.n = e.counter = 1;
    e.kind = EntryKind::kAct;
    e.batch = in.fixed<16>();
    e.writer = 1;
    e.admin_seq = in.u32();
    e.hour = static_cast<int64_t>(in.u64());
    e.meta_epoch = in.u32();
    e.root = merkle_root({});
    e.action = "init";
    e.facts = as_text(in.field());
    const ByteSpan details = in.field();
    e.details.assign(details.begin(), details.end());
    e.signature = in.fixed<64>();
    out.init = std::move(e);
  }
  if (in.failed() || has_init > 1) return fail(ErrorCode::kBadInput, "the bundle was cut off or changed");
  if (auto done = in.done("a bundle"); !done) return fail(ErrorCode::kBadInput, done.error().message);
  SLM_TRY(out.admin, AdminLog::from_entries(entries));
  for (const Wrap& wrap : out.wraps) SLM_CHECK(check_wrap(out.admin, wrap));
  if (out.init) SLM_CHECK(check_entry(out.admin, *out.init));
  return out;
}

Result<Bundle> read_bundle(const fs::path& path) {
  SLM_TRY(const std::string text, read_file(path, kMaxBundleBytes));
  return decode_bundle(as_bytes(text));
}

Status check_same_fleet(const AdminLog& ours, const AdminLog& theirs, std::string_view who) {
  if (ours.fleet() != theirs.fleet() || ours.admin() != theirs.admin())
    return fail(ErrorCode::kWrongKey, fmt::format("{} belongs to another fleet ({}, this one is {})", who,
                                                  to_hex(theirs.fleet()), to_hex(ours.fleet())));
  if (!ours.continues(theirs) && !theirs.continues(ours))
    return fail(
        ErrorCode::kIntegrity,
        fmt::format("the admin's entries here and of {} go different ways: the admin signed in two stores", who),
        "sign in one store only, and hand its entries on: slmconv store bundle, slmconv store update");
  return {};
}

Result<bool> adopt_admin(Session& session, const AdminLog& newer, std::span<const Wrap> wraps) {
  SLM_CHECK(session.refresh_admin());
  SLM_CHECK(check_same_fleet(session.admin, newer, "the other store"));
  if (!newer.continues(session.admin)) return false;  // ours is the newer one
  SLM_TRY(const FileLock lock, session.lock());
  SLM_CHECK(session.refresh_admin());
  if (!newer.continues(session.admin)) return fail(ErrorCode::kLocked, "the admin's entries changed meanwhile");
  const uint32_t n_before = session.admin.n_entries();
  const bool news = newer.n_entries() > n_before;
  SLM_TRY(const auto held, load_wraps(session.db.keys));
  std::set<std::pair<KeyName, uint32_t>> have;
  for (const Wrap& wrap : held)
    // Of a rotation that was cut off here: not the key that the admin signed since.
    if (!is_ahead(session.admin, wrap)) have.insert({wrap.key, wrap.recipient});
  std::vector<Wrap> added;
  for (const Wrap& wrap : wraps) {
    if (is_ahead(newer, wrap) || have.contains({wrap.key, wrap.recipient})) continue;
    SLM_CHECK(check_wrap(newer, wrap));
    added.push_back(wrap);
  }
  if (!news && added.empty()) return false;
  if (!newer.may_sign(session.self_seq, EntryKind::kAct))
    return fail(ErrorCode::kWrongKey, "this key was revoked, as the admin's newer entries say", "take another key");
  // In this order whatever is cut off leaves a store that verifies: wraps that no longer hold go, entries come, wraps
  // come.
  {
    SLM_TRY(auto transaction, session.db.keys.begin());
    for (const Wrap& wrap : held)
      if (newer.revocation(wrap.recipient) != nullptr || is_ahead(session.admin, wrap))
        SLM_CHECK(delete_wrap(session.db.keys, wrap.key, wrap.recipient));
    SLM_CHECK(transaction.commit());
  }
  session.admin = newer;
  SLM_TRY(Pending pending, prepare_act(session, {"update", admin_facts(session.admin), "", 0}));
  pending.also = [&](Database& log) { return session.admin.save(log, n_before); };
  SLM_CHECK(write_pending(session, pending));
  SLM_TRY(auto transaction, session.db.keys.begin());
  for (const Wrap& wrap : added) SLM_CHECK(save_wrap(session.db.keys, wrap));
  SLM_CHECK(transaction.commit());
  return true;
}

Result<BundleResult> make_bundle(const fs::path& dir, const BundleOptions& options) {
  BundleResult out;
  Bundle bundle;
  std::optional<Databases> plain;
  if (options.new_store) {
    SLM_TRY(AdminRoom room, open_admin_room(dir, {options.keys, {}, options.random, options.clock}));
    Session& session = room.session;
    Id16 id;
    options.random->fill(id);
    SLM_CHECK(session.admin.add_store(id, {session.self.sign_secret.span(), session.now_ms()}));
    AdminCommit commit;
    commit.act.action = "store";
    commit.act.facts = {{"store", to_hex(id)}};
    SLM_CHECK(commit_admin(room, std::move(commit)));
    out.store_id = to_hex(id);
    // The new trail's first header is the admin's, signed here: the other machine has no admin key.
    SLM_TRY(Pending pending, prepare_act(session, {"init", admin_facts(session.admin), "", 0}));
    Entry& entry = pending.entry;
    entry.store = id;
    entry.n = entry.counter = 1;
    SLM_TRY(entry.signature, crypto::sign(session.self.sign_secret.span(), entry.signed_bytes()));
    bundle.init = std::move(entry);
    bundle.admin = session.admin;
    SLM_TRY(bundle.wraps, load_wraps(session.db.keys));
  } else {
    SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
    SLM_TRY(const FileLock lock, FileLock::acquire(lock_path(dir), default_lock_wait_ms()));
    SLM_TRY(bundle.admin, AdminLog::load(db.log));
    SLM_TRY(bundle.wraps, load_wraps(db.keys));
  }
  std::erase_if(bundle.wraps, [&](const Wrap& wrap) { return is_ahead(bundle.admin, wrap); });
  SLM_CHECK(write_file_atomic(options.out, encode_bundle(bundle)));
  out.admin_entries = bundle.admin.n_entries();
  out.admin_fingerprint = bundle.admin.admin().fingerprint();
  return out;
}

Result<Info> join_store(const fs::path& dir, const JoinOptions& options) {
  SLM_TRY(const fs::path place, new_store_place(dir));
  SLM_TRY(const Bundle bundle, read_bundle(options.bundle));
  const std::string admin = bundle.admin.admin().fingerprint();
  if (!options.admin_fingerprint.empty() && options.admin_fingerprint != admin)
    return fail(ErrorCode::kWrongKey,
                fmt::format("the bundle's admin is {}, not {}", admin, options.admin_fingerprint));
  if (!bundle.init)
    return fail(ErrorCode::kBadInput, "this bundle brings a store up to date and makes no new one",
                "slmconv store bundle --new-store --out FILE, where the admin's key is");
  SLM_TRY(StagedDir staged, StagedDir::create(place));
  if (chmod(staged.path().c_str(), 0700) != 0) return fail(errno_error(staged.path(), "setting permissions of"));
  SLM_TRY(Databases db, create_databases(staged.path()));
  {
    SLM_TRY(auto transaction, db.keys.begin());
    for (const Wrap& wrap : bundle.wraps) SLM_CHECK(save_wrap(db.keys, wrap));
    SLM_CHECK(transaction.commit());
  }
  {
    SLM_TRY(auto transaction, db.log.begin());
    SLM_CHECK(bundle.admin.save(db.log, 0));
    SLM_CHECK(insert_entry(db.log, *bundle.init, {}));
    SLM_CHECK(transaction.commit());
  }
  {
    SLM_TRY(const FileLock lock, FileLock::acquire(lock_path(staged.path()), default_lock_wait_ms()));
    SLM_CHECK(db.log.checkpoint(true));
    SLM_CHECK(db.keys.checkpoint(true));
  }
  SLM_TRY(Info info, read_info(staged.path(), db, bundle.admin));
  SLM_CHECK(make_dirs(staged.path() / "artifacts"));
  SLM_CHECK(staged.commit_new());
  return info;
}

Result<UpdateResult> update_store(const fs::path& dir, const fs::path& file, const KeyOptions& options) {
  SLM_TRY(const Bundle bundle, read_bundle(file));
  static constexpr Role kAnyOf[] = {Role::kCollector, Role::kCurator, Role::kAdmin, Role::kTrainer, Role::kAuditor};
  SLM_TRY(Session session, open_session_any(dir, options, kAnyOf));
  UpdateResult out;
  out.before = session.admin.n_entries();
  SLM_TRY(out.changed, adopt_admin(session, bundle.admin, bundle.wraps));
  out.after = session.admin.n_entries();
  return out;
}

}  // namespace slm::store
