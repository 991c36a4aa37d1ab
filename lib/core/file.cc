#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace slm {

namespace fs = std::filesystem;

Error errno_error(const fs::path& path, std::string_view doing) {
  const int cause = errno;
  const char* hint = "";
  if (cause == ENOSPC || cause == EDQUOT) hint = "free some space there and run the command again";
  if (cause == EROFS || cause == EACCES || cause == EPERM) hint = "name a place that this user may use";
  if (cause == EFBIG) hint = "raise this user's bound on the size of files (ulimit -f) and run the command again";
  return {ErrorCode::kIo, fmt::format("{} {}: {}", doing, path.string(), std::strerror(cause)), hint};
}

Result<std::string> read_file(const fs::path& path, uint64_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error(path, "opening"));
  std::string out;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) continue;
      auto error = errno_error(path, "reading");
      close(fd);
      return fail(std::move(error));
    }
    if (n == 0) break;
    if (out.size() + static_cast<size_t>(n) > max_bytes) {
      close(fd);
      return fail(ErrorCode::kBadInput, fmt::format("{}: more than {} bytes", path.string(), max_bytes));
    }
    out.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return out;
}

Status fsync_dir(const fs::path& path) {
  const fs::path dir = path.empty() ? fs::path(".") : path;
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error(dir, "opening"));
  const int rc = fsync(fd);
  close(fd);
  if (rc != 0 && errno != EINVAL) return fail(errno_error(dir, "syncing"));
  return {};
}

Status write_file_atomic(const fs::path& path, ByteSpan data, unsigned mode) {
  std::error_code ec;
  if (fs::exists(path, ec) && !fs::is_regular_file(path, ec))  // a rename would replace a device or a pipe
    return fail(ErrorCode::kIo, fmt::format("{}: not a regular file", path.string()));
  const fs::path temporary = path.parent_path() / fmt::format(".{}.{}.tmp", path.filename().string(), getpid());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, static_cast<mode_t>(mode));
  if (fd < 0) return fail(errno_error(temporary, "creating"));
  auto give_up = [&](std::string_view doing) {
    auto error = errno_error(path, doing);
    close(fd);
    unlink(temporary.c_str());
    return fail(std::move(error));
  };
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = write(fd, data.data() + done, data.size() - done);
    if (n < 0) {
      if (errno == EINTR) continue;
      return give_up("writing");
    }
    done += static_cast<size_t>(n);
  }
  if (fchmod(fd, static_cast<mode_t>(mode)) != 0 || fsync(fd) != 0) return give_up("syncing");
  close(fd);
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    auto error = errno_error(path, "renaming to");
    unlink(temporary.c_str());
    return fail(std::move(error));
  }
  return fsync_dir(path.parent_path());
}

Status make_dirs(const fs::path& path, unsigned mode) {
  std::error_code ec;
  if (path.empty() || fs::is_directory(path, ec)) return {};  // the parent of a bare name is where we are
  if (path.has_parent_path() && path.parent_path() != path) SLM_CHECK(make_dirs(path.parent_path(), mode));
  if (mkdir(path.c_str(), static_cast<mode_t>(mode)) != 0 && errno != EEXIST)
    return fail(errno_error(path, "creating"));
  return {};
}

Result<fs::path> resolve_path(const fs::path& path) {
  std::error_code ec;
  fs::path out = fs::absolute(path, ec);
  if (!ec) out = fs::weakly_canonical(out, ec);
  if (ec) return fail(ErrorCode::kIo, fmt::format("{}: {}", path.string(), ec.message()));
  // A path like "store/" has no file name of its own.
  return out.has_filename() || !out.has_relative_path() ? out : out.parent_path();
}

Result<bool> lies_in(const fs::path& inner, const fs::path& outer) {
  SLM_TRY(const fs::path a, resolve_path(inner));
  SLM_TRY(const fs::path b, resolve_path(outer));
  return std::mismatch(b.begin(), b.end(), a.begin(), a.end()).first == b.end();
}

Result<StagedDir> StagedDir::create(const fs::path& final_path) {
  const fs::path parent = final_path.parent_path();
  SLM_CHECK(make_dirs(parent));
  const fs::path staging = parent / fmt::format(".{}.{}.tmp", final_path.filename().string(), getpid());
  std::error_code ec;
  fs::remove_all(staging, ec);
  if (mkdir(staging.c_str(), 0755) != 0) return fail(errno_error(staging, "creating"));
  return StagedDir(staging, final_path);
}

StagedDir::StagedDir(StagedDir&& other) noexcept
    : staging_(std::move(other.staging_)), final_(std::move(other.final_)) {
  other.staging_.clear();
}

StagedDir::~StagedDir() {
  if (staging_.empty()) return;
  std::error_code ec;
  fs::remove_all(staging_, ec);
}

Status StagedDir::commit() {
  SLM_CHECK(fsync_dir(staging_));
  std::error_code ec;
  fs::remove_all(final_, ec);
  if (rename(staging_.c_str(), final_.c_str()) != 0) return fail(errno_error(final_, "renaming to"));
  return renamed();
}

Status StagedDir::commit_new() {
  SLM_CHECK(fsync_dir(staging_));
  // rename(2) itself refuses a full folder, so that nothing can come between a check and the rename.
  if (rename(staging_.c_str(), final_.c_str()) == 0) return renamed();
  if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
    return fail(ErrorCode::kUsage, fmt::format("{} exists already: nothing was overwritten", final_.string()),
                "name a new folder");
  if (errno == EBUSY || errno == EXDEV)
    return fail(ErrorCode::kIo, fmt::format("{} is a mount point and can't be replaced", final_.string()),
                fmt::format("name a folder in it: {}", (final_ / "NAME").string()));
  return fail(errno_error(final_, "renaming to"));
}

Status StagedDir::renamed() {
  staging_.clear();
  return fsync_dir(final_.parent_path());
}

}  // namespace slm
