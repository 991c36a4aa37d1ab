#include "store/schema.h"

#include <fmt/format.h>

#include "schema/embedded.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

struct DatabaseKind {
  const char* file;     // in the store
  const char* suffix;   // of its migrations: schemas/store/NNNN_<suffix>.sql
  int64_t application;  // PRAGMA application_id: "slmL", "slmK"
};
constexpr DatabaseKind kLog{"log.db", "_log.sql", 0x736c6d4c};
constexpr DatabaseKind kKeys{"keys.db", "_keys.sql", 0x736c6d4b};

Status apply_migrations(Database& db, const DatabaseKind& kind) {
  for (const auto& file : embedded::files("schemas/store/"))
    if (std::string_view(file.name).ends_with(kind.suffix)) SLM_CHECK(db.exec(std::string(file.data, file.size)));
  return db.exec(fmt::format("PRAGMA application_id={}; PRAGMA user_version={};", kind.application, kFormat));
}

// The text of all objects in a schema, in order of name.
Result<std::string> schema_text(Database& db) {
  SLM_TRY(Statement stmt,
          db.prepare("SELECT type || ' ' || name || ' ' || ifnull(sql, '') FROM sqlite_schema ORDER BY name"));
  std::string out;
  while (true) {
    SLM_TRY(const bool row, stmt.step());
    if (!row) return out;
    out.append(stmt.text(0)).append("\n");
  }
}

// What schema_text() must give: that of the same migrations in a fresh database.
Result<std::string> expected_schema(const DatabaseKind& kind) {
  SLM_TRY(Database db, Database::open(":memory:", Database::Mode::kCreate));
  SLM_CHECK(apply_migrations(db, kind));
  return schema_text(db);
}

Status check(Database& db, const DatabaseKind& kind) {
  SLM_TRY(const int64_t application, db.integer("PRAGMA application_id"));
  SLM_TRY(const int64_t version, db.integer("PRAGMA user_version"));
  if (application != kind.application)
    return fail(ErrorCode::kIntegrity, fmt::format("{} isn't a slmconv database", db.path().string()));
  if (version > kFormat)
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("{} has store format {}, this program knows formats up to {}", db.path().string(), version,
                            kFormat),
                "use a newer slmconv");
  if (version < 1)
    return fail(ErrorCode::kIntegrity, fmt::format("{} has store format {}", db.path().string(), version));
  SLM_TRY(const std::string want, expected_schema(kind));
  SLM_TRY(const std::string have, schema_text(db));
  if (want != have)
    return fail(ErrorCode::kIntegrity,
                fmt::format("{}: its tables are not those of format {}", db.path().string(), version));
  return {};
}

Result<Database> open_one(const fs::path& dir, const DatabaseKind& kind) {
  const fs::path path = dir / kind.file;
  std::error_code ec;
  if (!fs::is_regular_file(path, ec))
    return fail(ErrorCode::kIntegrity, fmt::format("{} is missing", path.string()), "restore a backup of it");
  SLM_TRY(Database db, Database::open(path, Database::Mode::kWrite));
  SLM_CHECK(check(db, kind));
  return db;
}

constexpr uint64_t kMaxForeignBytes = uint64_t{1} << 40;

Result<Database> open_foreign(const fs::path& dir, const DatabaseKind& kind) {
  const fs::path path = dir / kind.file;
  std::error_code ec;
  const auto status = fs::symlink_status(path, ec);
  if (ec || !fs::is_regular_file(status))
    return fail(ErrorCode::kBadInput, fmt::format("{} isn't a file: {} is no store", path.string(), dir.string()));
  if (fs::file_size(path, ec) > kMaxForeignBytes || ec)
    return fail(ErrorCode::kBadInput, fmt::format("{} is larger than 1 TiB", path.string()));
  SLM_TRY(Database db, Database::open(path, Database::Mode::kForeign));
  SLM_CHECK(db.exec("BEGIN"));
  SLM_CHECK(check(db, kind));
  return db;
}

}  // namespace

fs::path log_path(const fs::path& dir) { return dir / kLog.file; }
fs::path keys_path(const fs::path& dir) { return dir / kKeys.file; }
fs::path lock_path(const fs::path& dir) { return dir / "store.lock"; }

Result<Databases> create_databases(const fs::path& dir) {
  SLM_CHECK(refuse_network_file_system(dir));
  SLM_TRY(const FileLock lock, FileLock::acquire(lock_path(dir), default_lock_wait_ms()));
  SLM_TRY(Database log, Database::open(log_path(dir), Database::Mode::kCreate));
  SLM_CHECK(apply_migrations(log, kLog));
  SLM_TRY(Database keys, Database::open(keys_path(dir), Database::Mode::kCreate));
  SLM_CHECK(apply_migrations(keys, kKeys));
  return Databases{std::move(log), std::move(keys)};
}

Result<Databases> open_foreign_databases(const fs::path& given) {
  std::error_code ec;
  const fs::path dir = fs::canonical(given, ec);
  if (ec || !fs::is_directory(dir, ec))
    return fail(ErrorCode::kStoreMissing, fmt::format("{} is not a store", given.string()));
  SLM_CHECK(refuse_network_file_system(dir));
  // No moment between a batch's two commits, where the other store is at work.
  SLM_TRY(const auto lock, FileLock::acquire_existing(lock_path(dir), default_lock_wait_ms()));
  SLM_TRY(Database log, open_foreign(dir, kLog));
  SLM_TRY(Database keys, open_foreign(dir, kKeys));
  return Databases{std::move(log), std::move(keys)};
}

Result<Databases> open_databases(const fs::path& dir, int64_t lock_wait_ms) {
  std::error_code ec;
  if (!fs::exists(log_path(dir), ec) && !fs::exists(keys_path(dir), ec))
    return fail(ErrorCode::kStoreMissing, fmt::format("{} is not a store", dir.empty() ? "\"\"" : dir.string()),
                fmt::format("slmconv init {}", dir.empty() ? "STORE" : dir.string()));
  SLM_CHECK(refuse_network_file_system(dir));
  SLM_TRY(const FileLock lock, FileLock::acquire(lock_path(dir), lock_wait_ms));
  SLM_TRY(Database log, open_one(dir, kLog));
  SLM_TRY(Database keys, open_one(dir, kKeys));
  return Databases{std::move(log), std::move(keys)};
}

}  // namespace slm::store
