#include "store/collector_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/bytes.h"
#include "core/file.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHeaderBytes = kSpoolMagic.size();
constexpr int kMostProcesses = 64;

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// A plain file, else a descriptor below 0.
File open_plain(const fs::path& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info {};
  if (file.fd() >= 0 && (fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode))) return File(-1);
  return file;
}

// Length of the record there; 0 at the end.
uint32_t length_at(int fd, int64_t at) {
  uint8_t bytes[4] = {};
  return read_at(fd, bytes, at) ? get_u32(bytes) : 0;
}

bool is_spool(int fd) {
  uint8_t magic[kHeaderBytes] = {};
  return read_at(fd, magic, 0) && std::memcmp(magic, kSpoolMagic.data(), kHeaderBytes) == 0;
}

}  // namespace

bool read_at(int fd, std::span<uint8_t> bytes, int64_t at) {
  while (!bytes.empty()) {
    const ssize_t n = pread(fd, bytes.data(), bytes.size(), at);
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += n;
  }
  return true;
}

bool is_waiting_spool(const fs::path& path) {
  const File file = open_plain(path);
  return file.fd() >= 0 && is_spool(file.fd()) && length_at(file.fd(), kHeaderBytes) != 0;
}

std::vector<fs::path> waiting_spools(const fs::path& dir) {
  std::vector<fs::path> out;
  std::error_code ec;
  const fs::path folder = dir / kCollectorFolder;
  if (!fs::is_directory(fs::symlink_status(folder, ec))) return out;
  for (int i = 0; i < kMostProcesses; ++i)
    for (const char* part : {"", ".a", ".b"}) {
      const fs::path path = folder / fmt::format("{:02}{}{}", i, part, kSpoolEnding);
      if (is_waiting_spool(path)) out.push_back(path);
    }
  return out;
}

Status copy_spool(const fs::path& from, const fs::path& to) {
  const File source = open_plain(from);
  if (source.fd() < 0) return fail(errno_error(from, "opening"));
  const File target(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (target.fd() < 0) return fail(errno_error(to, "making"));
  const auto put = [&](ByteSpan bytes) -> Status {
    while (!bytes.empty()) {
      const ssize_t n = write(target.fd(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return fail(errno_error(to, "writing"));
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return {};
  };
  const int64_t n_bytes = lseek(source.fd(), 0, SEEK_END);
  SLM_CHECK(put(as_bytes(kSpoolMagic)));
  Bytes part;
  for (int64_t at = kHeaderBytes;;) {
    const int64_t n = length_at(source.fd(), at);
    if (n == 0 || at + 4 + n > n_bytes) break;
    for (int64_t end = at + 4 + n; at < end; at += static_cast<int64_t>(part.size())) {
      part.resize(static_cast<size_t>(std::min<int64_t>(end - at, 1 << 20)));
      if (!read_at(source.fd(), part, at)) return fail(errno_error(from, "reading"));
      SLM_CHECK(put(part));
    }
  }
  SLM_CHECK(put(Bytes(4, 0)));
  if (fsync(target.fd()) != 0) return fail(errno_error(to, "writing"));
  return {};
}

}  // namespace slm::store
