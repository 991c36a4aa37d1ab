#include "store/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "core/file.h"
#include "core/log.h"

namespace slm::store {

Result<FileLock> FileLock::acquire(const std::filesystem::path& file, int64_t wait_ms) {
  int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 && (errno == EACCES || errno == EROFS)) fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error(file, "opening"));
  return wait(fd, file, wait_ms);
}

Result<std::optional<FileLock>> FileLock::acquire_existing(const std::filesystem::path& file, int64_t wait_ms) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return std::optional<FileLock>{};
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return std::optional<FileLock>{};
  }
  SLM_TRY(FileLock lock, wait(fd, file, wait_ms));
  std::optional<FileLock> out;
  out.emplace(std::move(lock));
  return out;
}

Result<FileLock> FileLock::wait(int fd, const std::filesystem::path& file, int64_t wait_ms) {
  FileLock lock(fd);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  const auto told = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  bool silent = true;
  auto pause = std::chrono::microseconds(200);
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail(errno_error(file, "locking"));
    if (std::chrono::steady_clock::now() >= until)
      return fail(ErrorCode::kLocked,
                  fmt::format("{} is held by another process; waited {} ms", file.string(), wait_ms),
                  "wait for the other slmconv command to end, or raise SLMCONV_LOCK_WAIT_MS");
    if (silent && std::chrono::steady_clock::now() >= told) {
      log_note(fmt::format("waiting for another slmconv, which holds {}; up to {:.0f} s", file.string(),
                           std::ceil(static_cast<double>(wait_ms) / 1e3)));
      silent = false;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(20000));
  }
  return lock;
}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);  // releases the lock
}

int64_t default_lock_wait_ms() {
  int64_t ms = 10000;
  if (const char* text = std::getenv("SLMCONV_LOCK_WAIT_MS")) {
    int64_t value = 0;
    const auto [end, ec] = std::from_chars(text, text + std::strlen(text), value);
    if (ec == std::errc{} && *end == '\0' && value >= 0) ms = value;
  }
  return ms;
}

const char* network_file_system_name(uint64_t kind) {
  struct Row {
    uint64_t kind;
    const char* name;
  };
  // linux/magic.h, and the values that Lustre and GPFS document for themselves.
  static constexpr Row kRows[] = {
      {0x6969, "NFS"},        {0x517b, "SMB"},      {0xff534d42, "CIFS"},  {0xfe534d42, "SMB"},
      {0x5346414f, "AFS"},    {0x6b414653, "AFS"},  {0x73757245, "Coda"},  {0x00c36400, "Ceph"},
      {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {0x7461636f, "OCFS2"}, {0x01161970, "GFS2"},
  };
  for (const Row& row : kRows)
    if (row.kind == kind) return row.name;
  return nullptr;
}

Status refuse_network_file_system(const std::filesystem::path& dir) {
  struct statfs info {};
  if (statfs(dir.c_str(), &info) != 0) return fail(errno_error(dir, "looking at"));
  if (const char* name = network_file_system_name(static_cast<uint32_t>(info.f_type)))
    return fail(ErrorCode::kUsage,
                fmt::format("{} lies on {}, a network file system: a store needs a local disk", dir.string(), name),
                "name a folder on a local disk with --store");
  return {};
}

}  // namespace slm::store
