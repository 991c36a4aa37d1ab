// Backups and what is made of them again: see backup_store() and restore_store() in manage.h.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/file.h"
#include "core/log.h"
#include "store/collector_files.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/verify.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDayMs = 86'400'000;
constexpr std::string_view kKeysPrefix = "keys-", kKeysSuffix = ".db";
constexpr int64_t kNoLimit_ms = int64_t{1} << 40;

// Name of a backup made now: sorts by time.
std::string stamp(int64_t time_ms) {
  std::string out = format_utc(time_ms);
  std::erase_if(out, [](char c) { return c == ':' || c == '-'; });
  std::replace_if(
      out.begin(), out.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return out;
}

// Regular files below a folder, to the same places below another.
Result<int64_t> copy_files(const fs::path& from, const fs::path& to) {
  std::error_code ec;
  int64_t n = 0;
  SLM_CHECK(make_dirs(to, 0700));
  for (fs::recursive_directory_iterator at(from, ec), end; !ec && at != end; at.increment(ec)) {
    const fs::path target = to / at->path().lexically_relative(from);
    if (at->is_symlink()) continue;
    if (at->is_directory()) {
      SLM_CHECK(make_dirs(target, 0700));
    } else if (at->is_regular_file()) {
      SLM_TRY(const std::string content, read_file(at->path()));
      SLM_CHECK(write_file_atomic(target, content, 0600));
      ++n;
    }
  }
  if (ec) return fail(ErrorCode::kIo, fmt::format("reading {}: {}", from.string(), ec.message()));
  return n;
}

int64_t size_of(const fs::path& file) {
  std::error_code ec;
  const auto bytes = fs::file_size(file, ec);
  return ec ? 0 : static_cast<int64_t>(bytes);
}

// The time a keys backup was made, by its modification.
Result<int64_t> expire(const fs::path& keys_to, int64_t before_ms) {
  int64_t n = 0;
  std::error_code ec;
  for (const auto& item : fs::directory_iterator(keys_to, ec)) {
    const std::string name = item.path().filename().string();
    const bool keys = name.ends_with(kKeysSuffix);
    if (!name.starts_with(kKeysPrefix) || (!keys && !name.ends_with(kSpoolEnding))) continue;
    if (name >= fmt::format("{}{}", kKeysPrefix, stamp(before_ms))) continue;
    if (fs::remove(item.path(), ec)) n += keys;
    if (ec) return fail(ErrorCode::kIo, fmt::format("removing {}: {}", item.path().string(), ec.message()));
  }
  return n;
}

// Removes what a backup that failed left beside its places.
struct Unfinished {
  std::vector<fs::path> files;
  ~Unfinished() {
    std::error_code ec;
    for (const fs::path& file : files) fs::remove(file, ec);
  }
};

// What goes with a copy of keys.db: keys-TIME.NN.spool or keys-TIME.NN.a.spool, since who has it and the collector's
// key can open it, whatever is erased later.
fs::path spool_beside(const fs::path& keys, const fs::path& spool) {
  return keys.parent_path() / fmt::format("{}.{}", keys.stem().string(), spool.filename().string());
}

// Spools that lie beside a copy of keys.db, back to their places.
Status restore_spools(const fs::path& keys_from, const fs::path& folder) {
  const std::string prefix = keys_from.stem().string() + ".";
  std::error_code ec;
  int64_t n = 0;
  for (const auto& item : fs::directory_iterator(fs::absolute(keys_from, ec).parent_path(), ec)) {
    const std::string name = item.path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(kSpoolEnding) || !item.is_regular_file(ec)) continue;
    const size_t n_between = name.size() - prefix.size() - kSpoolEnding.size();
    if (n_between != std::string_view("NN").size() && n_between != std::string_view("NN.a").size()) continue;
    SLM_CHECK(make_dirs(folder, 0700));
    SLM_CHECK(copy_spool(item.path(), folder / name.substr(prefix.size())));
    ++n;
  }
  if (ec) return fail(ErrorCode::kIo, fmt::format("reading {}: {}", keys_from.parent_path().string(), ec.message()));
  if (n > 0) log_note(fmt::format("{} spools hold calls that weren't in the store yet: {}", n, kSpoolHint));
  return {};
}

}  // namespace

Result<BackupResult> backup_store(const fs::path& dir, const BackupOptions& options) {
  for (const fs::path& target : {options.to, options.keys_to}) {
    if (target.empty())
      return fail(ErrorCode::kUsage, "a backup has two places: one for log.db and files, one for the keys",
                  "slmconv store backup DIR --keys-to DIR2");
    SLM_TRY(const bool inside, lies_in(target, dir));
    if (inside) return fail(ErrorCode::kUsage, fmt::format("{} lies in the store", target.string()));
  }
  SLM_TRY(const bool same, lies_in(options.keys_to, options.to));
  SLM_TRY(const bool same_too, lies_in(options.to, options.keys_to));
  if (same || same_too)
    return fail(ErrorCode::kUsage, "the two places of a backup are one inside the other",
                "who has both can open what was erased since: keep them apart");
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_CHECK(make_dirs(options.to, 0700));
  SLM_CHECK(make_dirs(options.keys_to, 0700));
  const int64_t now_ms = options.clock->now_ms();
  BackupResult out;
  out.log = options.to / fmt::format("log-{}", stamp(now_ms));
  out.keys = options.keys_to / fmt::format("{}{}{}", kKeysPrefix, stamp(now_ms), kKeysSuffix);
  SLM_TRY(StagedDir staged, StagedDir::create(out.log));
  // Files first: what is sealed while they are copied is in the databases' moment, not the other way round.
  std::error_code ec;
  if (fs::is_directory(dir / "artifacts", ec)) {
    SLM_TRY(out.n_files, copy_files(dir / "artifacts", staged.path() / "artifacts"));
  }
  // Spools too: what leaves one while it is copied is in that moment.
  std::vector<std::pair<fs::path, fs::path>> spools;
  Unfinished unfinished;
  for (const fs::path& spool : waiting_spools(dir)) {
    spools.emplace_back(spool_beside(out.keys, spool).string() + ".part", spool_beside(out.keys, spool));
    unfinished.files.push_back(spools.back().first);
    fs::remove(spools.back().first, ec);
    SLM_CHECK(copy_spool(spool, spools.back().first));
  }
  out.n_spools = static_cast<int64_t>(spools.size());
  {
    SLM_TRY(const FileLock lock, FileLock::acquire(lock_path(dir), default_lock_wait_ms()));
    for (Database* each : {&db.log, &db.keys}) {
      SLM_CHECK(each->exec("BEGIN"));
      SLM_CHECK(each->integer("SELECT count(*) FROM sqlite_schema"));
    }
  }
  SLM_TRY(const AdminLog admin, AdminLog::load(db.log));
  SLM_TRY(const Info info, read_info(dir, db, admin));
  out.head = info.head;
  SLM_CHECK(db.log.copy_to(staged.path() / "log.db"));
  const fs::path part = out.keys.string() + ".part";
  for (const char* suffix : {"", "-wal", "-shm"}) {
    fs::remove(part.string() + suffix, ec);
    unfinished.files.push_back(part.string() + suffix);
  }
  SLM_CHECK(db.keys.copy_to(part));
  for (const char* suffix : {"-wal", "-shm"}) fs::remove((staged.path() / "log.db").string() + suffix, ec);
  chmod(part.c_str(), 0600);
  spools.emplace_back(part, out.keys);
  for (const auto& [from, to] : spools) {
    fs::rename(from, to, ec);
    if (ec) return fail(ErrorCode::kIo, fmt::format("naming {}: {}", to.string(), ec.message()));
  }
  SLM_CHECK(fsync_dir(options.keys_to));
  out.bytes = size_of(staged.path() / "log.db") + size_of(out.keys);
  SLM_CHECK(staged.commit_new());
  if (options.expire_days >= 0) {
    SLM_TRY(out.n_expired, expire(options.keys_to, now_ms - options.expire_days * kDayMs));
  }
  return out;
}

Result<VerifyReport> restore_store(const fs::path& dir, const RestoreOptions& options) {
  SLM_TRY(const fs::path place, new_store_place(dir));
  std::error_code ec;
  if (!fs::is_regular_file(options.from / "log.db", ec))
    return fail(ErrorCode::kStoreMissing, fmt::format("{} holds no log.db", options.from.string()),
                "name the folder that store backup made");
  if (!fs::is_regular_file(options.keys_from, ec))
    return fail(ErrorCode::kStoreMissing, fmt::format("there is no {}", options.keys_from.string()),
                "a restore needs both halves of a backup: --keys-from FILE");
  SLM_TRY(StagedDir staged, StagedDir::create(place));
  if (chmod(staged.path().c_str(), 0700) != 0) return fail(errno_error(staged.path(), "setting permissions of"));
  SLM_CHECK(make_dirs(staged.path() / "artifacts"));
  if (fs::is_directory(options.from / "artifacts", ec))
    SLM_CHECK(copy_files(options.from / "artifacts", staged.path() / "artifacts"));
  SLM_CHECK(restore_spools(options.keys_from, staged.path() / kCollectorFolder));
  for (const auto& [from, to] : {std::pair(options.from / "log.db", staged.path() / "log.db"),
                                 std::pair(options.keys_from, staged.path() / "keys.db")}) {
    SLM_TRY(Database db, Database::open(fs::canonical(from, ec), Database::Mode::kForeign));
    SLM_CHECK(db.copy_to(to));
  }
  // Nobody writes there: one moment does.
  SLM_TRY(VerifyReport report, verify_in_windows(staged.path(), {}, {.window_ms = kNoLimit_ms}));
  SLM_CHECK(staged.commit_new());
  return report;
}

}  // namespace slm::store
