#include "store/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "core/progress.h"

namespace slm::store {
namespace {

constexpr int kMaxForeignCell = 64 << 20;

Error sqlite_error(sqlite3* db, int rc) {
  const std::filesystem::path file =
      db != nullptr && sqlite3_db_filename(db, "main") != nullptr ? sqlite3_db_filename(db, "main") : "";
  const std::string name = file.filename().string();
  const std::string reason = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
  switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::kIntegrity, fmt::format("{} is damaged: {}", name, reason),
              "slmconv store verify; then restore a backup"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::kLocked, fmt::format("{} is locked by another program: {}", name, reason), {}};
    case SQLITE_FULL: {
      std::error_code ec;
      const auto space = std::filesystem::space(file.parent_path(), ec);
      return {ErrorCode::kIo,
              fmt::format("no space to write {}: {}{}", file.string(), reason,
                          ec ? std::string() : fmt::format("; {} KB are free there", space.available >> 10)),
              "free some space and run the command again: what was committed is kept"};
    }
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: {
      const int cause = db != nullptr ? sqlite3_system_errno(db) : 0;
      const char* hint = "";
      if ((rc & 0xff) == SQLITE_READONLY || cause == EROFS || cause == EACCES || cause == EPERM)
        hint = "reading is logged, so it needs write permission: give this user that on the store's folder and files";
      if (cause == EMFILE || cause == ENFILE) hint = "raise the bound on open files (ulimit -n)";
      if (cause == EFBIG) hint = "raise this user's bound on the size of files (ulimit -f) and run the command again";
      return {ErrorCode::kIo,
              fmt::format("{}: {}{}{}", file.string(), reason, cause != 0 ? ": " : "",
                          cause != 0 ? std::strerror(cause) : ""),
              hint};
    }
    case SQLITE_TOOBIG:
      return {ErrorCode::kIntegrity, fmt::format("{} holds a cell larger than any the program writes", name), {}};
    case SQLITE_NOMEM:
      return {ErrorCode::kOutOfMemory, fmt::format("{}: out of memory", name), {}};
    case SQLITE_CONSTRAINT:
      return {ErrorCode::kIntegrity, fmt::format("{}: {}", name, reason), {}};
    default:
      return {ErrorCode::kUnexpected, fmt::format("{}: SQLite error {}: {}", name, rc, reason), {}};
  }
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }

Statement& Statement::bind(int index, int64_t value) {
  bind_failed_ |= sqlite3_bind_int64(handle_.get(), index, value) != SQLITE_OK;
  return *this;
}
Statement& Statement::bind(int index, ByteSpan value) {
  const int rc = value.empty() ? sqlite3_bind_zeroblob(handle_.get(), index, 0)
                               : sqlite3_bind_blob64(handle_.get(), index, value.data(), value.size(), SQLITE_STATIC);
  bind_failed_ |= rc != SQLITE_OK;
  return *this;
}
Statement& Statement::bind(int index, std::string_view value) {
  const char* data = value.empty() ? "" : value.data();
  bind_failed_ |=
      sqlite3_bind_text64(handle_.get(), index, data, value.size(), SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK;
  return *this;
}

Result<bool> Statement::step() {
  sqlite3* db = sqlite3_db_handle(handle_.get());
  if (std::exchange(bind_failed_, false)) return fail(ErrorCode::kUnexpected, "binding a value to a statement failed");
  const int rc = sqlite3_step(handle_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) {
    reset();
    return false;
  }
  Error error = sqlite_error(db, rc);
  reset();
  return fail(std::move(error));
}

Status Statement::run() {
  bool more = true;
  while (more) {
    SLM_TRY(more, step());
  }
  return {};
}

void Statement::reset() {
  sqlite3_reset(handle_.get());
  sqlite3_clear_bindings(handle_.get());
}

ByteSpan Statement::blob(int column) const {
  const void* data = sqlite3_column_blob(handle_.get(), column);
  return {static_cast<const uint8_t*>(data), static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

std::string_view Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  return data == nullptr ? std::string_view{}
                         : std::string_view(data, static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column)));
}

Status Statement::copy_fixed(int column, std::span<uint8_t> out, std::string_view what) const {
  const ByteSpan bytes = blob(column);
  if (sqlite3_column_type(handle_.get(), column) != SQLITE_BLOB || bytes.size() != out.size())
    return fail(ErrorCode::kIntegrity, fmt::format("{} is {} bytes long, not {}", what, bytes.size(), out.size()));
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return {};
}

Result<Database> Database::open(const std::filesystem::path& path, Mode mode) {
  Database out;
  out.path_ = path;
  const bool foreign = mode == Mode::kForeign;
  const int flags = foreign ? SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW
                            : SQLITE_OPEN_READWRITE | (mode == Mode::kCreate ? SQLITE_OPEN_CREATE : 0);
  sqlite3* db = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  out.handle_.reset(db);
  if (rc != SQLITE_OK) return fail(sqlite_error(db, rc));
  if (foreign && sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr) != SQLITE_OK &&
      out.wal_is_empty()) {
    // A folder that can't be written, where no WAL index can be made: nothing writes there, so none is needed.
    std::string uri = "file:";
    for (const char c : path.string())
      uri += std::isalnum(static_cast<unsigned char>(c)) || c == '/' ? std::string(1, c)
                                                                     : fmt::format("%{:02X}", static_cast<uint8_t>(c));
    out.handle_.reset();
    const int again = sqlite3_open_v2((uri + "?immutable=1").c_str(), &db,
                                      flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
    out.handle_.reset(db);
    if (again != SQLITE_OK) return fail(sqlite_error(db, again));
  }
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  if (foreign) sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kMaxForeignCell);
  sqlite3_busy_timeout(db, 2000);
  out.wal_pages_ = std::make_unique<int64_t>(0);
  sqlite3_wal_hook(
      db,
      [](void* pages, sqlite3*, const char*, int n) {
        *static_cast<int64_t*>(pages) = n;
        return SQLITE_OK;
      },
      out.wal_pages_.get());
  if (mode == Mode::kCreate) SLM_CHECK(out.exec("PRAGMA page_size=4096; PRAGMA journal_mode=WAL;"));
  SLM_CHECK(
      out.exec("PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384;"
               "PRAGMA secure_delete=ON; PRAGMA cell_size_check=ON; PRAGMA automatic_index=OFF;"));
  return out;
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  const int rc = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                    &stmt, nullptr);
  if (rc != SQLITE_OK) return fail(sqlite_error(handle_.get(), rc));
  Statement out;
  out.handle_.reset(stmt);
  return out;
}

Status Database::exec(const std::string& sql) {
  const int rc = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return fail(sqlite_error(handle_.get(), rc));
  return {};
}

Result<int64_t> Database::integer(std::string_view sql) {
  SLM_TRY(Statement stmt, prepare(sql));
  SLM_TRY(const bool row, stmt.step());
  return row ? stmt.integer(0) : 0;
}

Result<Database::Transaction> Database::begin() {
  SLM_CHECK(exec("BEGIN IMMEDIATE"));
  return Transaction(*this);
}

Database::Transaction::~Transaction() {
  if (db_ != nullptr) sqlite3_exec(db_->handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Status Database::Transaction::commit() {
  SLM_CHECK(db_->exec("COMMIT"));
  db_ = nullptr;
  return {};
}

bool Database::wal_is_empty() const {
  std::error_code ec;
  const auto size = std::filesystem::file_size(path_.string() + "-wal", ec);
  return ec || size == 0;
}

Status Database::vacuum() {
  sqlite3_limit(handle_.get(), SQLITE_LIMIT_ATTACHED, 1);  // VACUUM attaches the copy that it makes
  auto done = exec("PRAGMA temp_store=FILE; VACUUM; PRAGMA temp_store=MEMORY;");
  sqlite3_limit(handle_.get(), SQLITE_LIMIT_ATTACHED, 0);
  SLM_CHECK(std::move(done));
  return checkpoint(true);
}

Status Database::copy_to(const std::filesystem::path& target) {
  SLM_TRY(Database to, Database::open(target, Mode::kCreate));
  sqlite3_backup* backup = sqlite3_backup_init(to.handle_.get(), "main", handle_.get(), "main");
  if (backup == nullptr) return fail(sqlite_error(to.handle_.get(), sqlite3_errcode(to.handle_.get())));
  const int rc = sqlite3_backup_step(backup, -1);
  const int end = sqlite3_backup_finish(backup);
  if (rc != SQLITE_DONE) return fail(sqlite_error(to.handle_.get(), end != SQLITE_OK ? end : rc));
  return to.checkpoint(true);
}

Result<bool> Database::check_pages(std::string_view table, int64_t limit_ms) {
  if (limit_ms <= 0) return false;
  SLM_TRY(const Statement check, prepare(table.empty() ? std::string("PRAGMA integrity_check(1)")
                                                       : fmt::format("PRAGMA integrity_check({})", table)));
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false, late = false;
  // The check is one long step, which only another thread can end.
  std::thread watch([&] {
    std::unique_lock lock(mutex);
    const auto begun = std::chrono::steady_clock::now();
    while (!changed.wait_for(lock, std::chrono::milliseconds(std::min<int64_t>(limit_ms, 50)), [&] { return done; })) {
      late = std::chrono::steady_clock::now() - begun >= std::chrono::milliseconds(limit_ms);
      if (late || interrupted()) return sqlite3_interrupt(handle_.get());
    }
  });
  const int rc = sqlite3_step(check.handle_.get());
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  changed.notify_all();
  watch.join();
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted while checking the store");
  if (rc == SQLITE_INTERRUPT && late) return false;
  if (rc != SQLITE_ROW) return fail(sqlite_error(handle_.get(), rc));
  if (check.text(0) != "ok")
    return fail(ErrorCode::kIntegrity, fmt::format("{} is damaged: {}", path_.filename().string(), check.text(0)),
                "restore a backup");
  return true;
}

Status Database::checkpoint(bool truncate) {
  const int rc = sqlite3_wal_checkpoint_v2(
      handle_.get(), nullptr, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  // Busy: a reader still needs the WAL; the next one moves it.
  if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY && (rc & 0xff) != SQLITE_LOCKED)
    return fail(sqlite_error(handle_.get(), rc));
  *wal_pages_ = 0;
  return {};
}

}  // namespace slm::store
