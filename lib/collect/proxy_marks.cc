#include "collect/proxy_marks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "core/file.h"

namespace slm::collect {

struct Marks::Page {
  char magic[8];
  std::atomic<uint64_t> begun, finished, missed, will_be;
  uint8_t tag[16];
};

namespace {

constexpr char kMagic[] = "SLMMARK1";
constexpr size_t kPageBytes = 4096;
constexpr int kMostProcesses = 64;

static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace

Result<std::unique_ptr<Marks>> Marks::open(const std::filesystem::path& folder) {
  SLM_CHECK(make_dirs(folder, 0700));
  for (int i = 0; i < kMostProcesses; ++i) {
    const auto path = folder / fmt::format("{:02}.marks", i);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return fail(errno_error(path, "opening"));
    std::unique_ptr<Marks> marks(new Marks);
    marks->fd_ = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) continue;
    if (ftruncate(fd, kPageBytes) != 0 || posix_fallocate(fd, 0, kPageBytes) != 0)
      return fail(errno_error(path, "sizing"));
    void* const page = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) return fail(errno_error(path, "mapping"));
    marks->page_ = static_cast<Page*>(page);
    marks->spool_path_ = folder / fmt::format("{:02}.spool", i);
    if (std::memcmp(marks->page_->magic, kMagic, 8) != 0) {
      std::memset(page, 0, kPageBytes);
      std::memcpy(marks->page_->magic, kMagic, 8);
    }
    SLM_CHECK(marks->sync());
    SLM_CHECK(fsync_dir(folder));
    return marks;
  }
  return fail(ErrorCode::kLocked,
              fmt::format("{}: {} processes record into this store already", folder.string(), kMostProcesses));
}

Marks::~Marks() {
  if (page_ != nullptr) munmap(page_, kPageBytes);
  if (fd_ >= 0) close(fd_);  // releases the lock
}

Result<int64_t> Marks::recover(const std::function<Result<bool>(const store::Tag&)>& is_stored) {
  uint64_t finished = page_->finished;
  if (page_->will_be > finished) {
    store::Tag tag;
    std::copy_n(page_->tag, tag.size(), tag.begin());
    SLM_TRY(const bool stored, is_stored(tag));
    if (stored) finished = page_->will_be;
  }
  const uint64_t begun = page_->begun;
  page_->will_be = page_->begun = page_->finished = page_->missed = 0;
  SLM_CHECK(sync());
  return begun > finished ? static_cast<int64_t>(begun - finished) : 0;
}

void Marks::begin() { ++page_->begun; }

void Marks::take_back() { --page_->begun; }

Status Marks::sync() {
  if (msync(page_, kPageBytes, MS_SYNC) != 0) return fail(ErrorCode::kIo, "the marks of calls begun can't be written");
  return {};
}

void Marks::will_finish(int64_t n, const store::Tag& first) {
  page_->will_be = 0;  // never beside another commit's tag
  std::copy(first.begin(), first.end(), page_->tag);
  page_->will_be = page_->finished + static_cast<uint64_t>(n);
}

void Marks::finish(int64_t n) { page_->finished += static_cast<uint64_t>(n); }

void Marks::miss(int64_t n) {
  page_->missed += static_cast<uint64_t>(n);
  finish(n);
}

}  // namespace slm::collect
