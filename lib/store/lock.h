// The store's lock: flock(2) on `store.lock`. It serialises commits, checkpoints and first opens between processes, and
// is held for one batch at most.
//
// Units: waits in ms.
// Errors: kLocked after the wait; kIo where the file can't be opened; kUsage on a network file system, where neither
//   flock nor SQLite's shared memory can be relied on.
#pragma once

#include <filesystem>
#include <optional>

#include "core/error.h"

namespace slm::store {

class FileLock {
 public:
  // Waits up to wait_ms for other holders; after a second it says so (log_note).
  static Result<FileLock> acquire(const std::filesystem::path& file, int64_t wait_ms);
  // Of a file that is there already and regular, opened for reading; none if there is no such file.
  static Result<std::optional<FileLock>> acquire_existing(const std::filesystem::path& file, int64_t wait_ms);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  static Result<FileLock> wait(int fd, const std::filesystem::path& file, int64_t wait_ms);
  int fd_;
};

// Milliseconds to wait for the lock: SLMCONV_LOCK_WAIT_MS, else 10 000.
int64_t default_lock_wait_ms();

Status refuse_network_file_system(const std::filesystem::path& dir);
// By the kernel's number for the kind of file system (statfs f_type); separate so that it can be tested.
const char* network_file_system_name(uint64_t kind);

}  // namespace slm::store
