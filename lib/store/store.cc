#include "store/store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "core/log.h"
#include "store/anchor.h"
#include "store/appender.h"
#include "store/artifacts.h"
#include "store/commit.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/pseudonym.h"
#include "store/reader.h"
#include "store/seen.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

class SealedStore final : public Store {
 public:
  SealedStore(Session session, Info info)
      : session_(std::move(session)), info_(std::move(info)), demo_(session_.admin.demo()) {}

  const fs::path& dir() const override { return session_.dir; }
  Role role() const override { return session_.role; }
  const Info& opened_info() const override { return info_; }

  Result<Tag> content_tag(std::string_view content, std::optional<int64_t> time_ms,
                          uint64_t occurrence) const override {
    return make_tag(session_, content, time_ms, occurrence);
  }
  Result<std::string> pseudonym(std::string_view kind, std::string_view value) const override {
    return make_pseudonym(session_, kind, value);
  }
  Result<double> split_point(std::string_view group) const override {
    SLM_TRY(const Digest digest, keyed_bytes(session_, FleetKey::kSplit, "split", group));
    return static_cast<double>(get_u64(digest.data()) >> 11) * 0x1.0p-53;
  }
  Result<Digest> surrogate_bytes(std::string_view input) const override {
    return keyed_bytes(session_, FleetKey::kSurrogate, "surrogate", input);
  }
  Result<std::string> keyed_digest(std::string_view input) const override {
    SLM_TRY(const Digest digest, keyed_bytes(session_, FleetKey::kDigest, "digest", input));
    return to_hex(digest);
  }
  Result<CallId> new_call_id(const Tag& tag) const override {
    CallId id;
    if (session_.admin.demo()) {
      SLM_TRY(const Digest digest, keyed_bytes(session_, FleetKey::kDedup, "call id", as_text(tag)));
      std::copy_n(digest.begin(), id.bytes.size(), id.bytes.begin());
    } else {
      session_.random->fill(id.bytes);
    }
    return id;
  }

  Result<std::unique_ptr<Appender>> append(Space space, const AppendOptions& options) override {
    return make_appender(session_, space, options);
  }
  Status scan(Space space, const ScanOptions& options, const std::function<Result<bool>(StoredCall&)>& visit) override {
    return scan_calls(session_, space == Space::kRaw ? raw_index_ : curated_index_, {space, &options, &visit});
  }
  Result<int64_t> next_batch() override {
    SLM_TRY(const int64_t head, session_.db.log.integer("SELECT max(n) FROM entries"));
    return head + 1;
  }

  Status seal_file(const fs::path& path, std::string_view name, ByteSpan plaintext) override {
    return seal_artifact(session_, {path, std::string(name)}, plaintext);
  }
  Result<Bytes> open_sealed_file(const fs::path& path, std::string_view name) override {
    return open_artifact(session_, {path, std::string(name)});
  }
  Status audit(std::string_view action, std::string_view details) override {
    SLM_CHECK(commit_act(session_, {std::string(action), {}, std::string(details), 0}));
    return {};
  }
  Result<std::string> anchor() override {
    return anchor_line(session_, demo_ ? kDemoTime_ms : session_.clock->now_ms());
  }

 private:
  mutable Session session_;  // unwraps keys when they are first needed
  const Info info_;
  const bool demo_;
  CallIndex raw_index_, curated_index_;
};

// The key file meant by --identity: itself, or the role's in a folder.
Result<fs::path> key_file_of(const OpenOptions& options, std::string_view store_id) {
  const fs::path given = options.identity.empty() ? default_keys_dir(store_id) : options.identity;
  std::error_code ec;
  return fs::is_directory(given, ec) ? given / fmt::format("{}.key", role_name(options.role)) : given;
}

// A demonstration's store takes no calls by mistake: its keys are known to everybody. What is in it may be read and
// worked on.
Status refuse_demo(const fs::path& dir, const OpenOptions& options) {
  const char* const allowed = std::getenv("SLMCONV_DEMO");
  if (allowed != nullptr && std::string_view(allowed) == "1") return {};
  if (options.write && (options.role == Role::kCollector || options.role == Role::kCurator))
    return fail(
        ErrorCode::kWrongKey,
        fmt::format("{} is a demonstration store: its keys come from a known seed and protect nothing", dir.string()),
        "slmconv init STORE makes one with real keys; SLMCONV_DEMO=1 allows writing all the same");
  log_warn(
      fmt::format("{} is a demonstration store: its keys come from a known seed and protect nothing", dir.string()));
  return {};
}

}  // namespace

Result<Session> open_session(const fs::path& dir, const OpenOptions& options, Info* info_out) {
  if (options.random == nullptr || options.clock == nullptr)
    return fail(ErrorCode::kUnexpected, "a store is opened with a Random and a Clock");
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_TRY(AdminLog admin, AdminLog::load(db.log));
  SLM_TRY(Info info, read_info(dir, db, admin));
  SLM_TRY(const fs::path key_file, key_file_of(options, info.store_id));
  crypto::disable_core_dumps();
  SLM_TRY(crypto::Identity self, load_identity(key_file));
  if (self.fleet != admin.fleet() || self.admin != info.admin_fingerprint)
    return fail(ErrorCode::kWrongKey,
                fmt::format("{} belongs to another store's fleet ({}, this one is {})", key_file.string(),
                            to_hex(self.fleet), info.fleet_id),
                "--identity names this store's key");
  const IdentityRecord* record = admin.find(self.pub);
  if (record == nullptr || record->role != self.role)
    return fail(ErrorCode::kWrongKey,
                fmt::format("{}: the admin didn't sign this identity as {}", key_file.string(), self.role));
  if (const Revocation* revoked = admin.revocation(record->seq))
    return fail(
        ErrorCode::kWrongKey,
        fmt::format("{}: this key was revoked at {}", key_file.string(), format_utc(revoked->time_ms).substr(0, 16)),
        "the admin grants a new one: slmconv keys grant");
  if (self.role != role_name(options.role))
    return fail(
        ErrorCode::kWrongKey,
        fmt::format("{} is a {}'s key, this needs a {}'s", key_file.string(), self.role, role_name(options.role)),
        fmt::format("--identity names a folder with {}.key, or that file", role_name(options.role)));
  SLM_CHECK(check_seen(key_file, admin));
  if (options.write && access(log_path(dir).c_str(), W_OK) != 0)
    return fail(ErrorCode::kIo, fmt::format("{} can't be written by this user", log_path(dir).string()),
                "give this user write permission on the store's folder and files");
  if (info.demo) SLM_CHECK(refuse_demo(dir, options));
  const uint32_t seq = record->seq;
  SLM_TRY(const Id16 store_id, read_store_id(db.log, admin));
  if (info_out != nullptr) *info_out = info;
  return make_session({dir, std::move(db), std::move(admin), store_id, std::move(self), seq, options.role,
                       options.random, options.clock});
}

Result<Session> open_session_any(const fs::path& dir, const KeyOptions& options, std::span<const Role> roles) {
  SLM_TRY(const Info info, Store::info(dir));
  const fs::path given = options.keys.empty() ? default_keys_dir(info.store_id) : options.keys;
  std::error_code ec;
  OpenOptions open{.identity = given, .role = roles.front(), .random = options.random, .clock = options.clock};
  if (fs::is_directory(given, ec)) {
    for (const Role role : roles)
      if (fs::exists(given / fmt::format("{}.key", role_name(role)), ec)) {
        open.role = role;
        break;
      }
  } else {
    SLM_TRY(const crypto::Identity identity, load_identity(given));
    const auto role = parse_role(identity.role);
    if (!role || std::find(roles.begin(), roles.end(), *role) == roles.end())
      return fail(ErrorCode::kWrongKey,
                  fmt::format("{} is a {}'s key, which can't do this", given.string(), identity.role));
    open.role = *role;
  }
  return open_session(dir, open);
}

Result<std::unique_ptr<Store>> Store::open(const fs::path& dir, const OpenOptions& options) {
  Info info;
  SLM_TRY(Session session, open_session(dir, options, &info));
  return std::unique_ptr<Store>(std::make_unique<SealedStore>(std::move(session), std::move(info)));
}

Result<std::unique_ptr<Store>> open_store_any(const fs::path& dir, const KeyOptions& options,
                                              std::span<const Role> roles) {
  SLM_TRY(Session session, open_session_any(dir, options, roles));
  SLM_TRY(Info info, read_info(dir, session.db, session.admin));
  return std::unique_ptr<Store>(std::make_unique<SealedStore>(std::move(session), std::move(info)));
}

Result<Info> Store::info(const fs::path& dir) {
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_TRY(const AdminLog admin, AdminLog::load(db.log));
  return read_info(dir, db, admin);
}

}  // namespace slm::store
