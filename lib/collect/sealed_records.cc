#include "collect/sealed_records.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstring>

#include "core/file.h"
#include "store/collector_files.h"

namespace slm::collect {

namespace {

constexpr size_t kEncBytes = 32;

bool write_all(int fd, ByteSpan bytes, int64_t at) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), at);
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += n;
  }
  return true;
}

// A record's place is part of what is sealed: none can be moved or left out unseen.
Bytes aad_of(int64_t at) {
  Bytes out;
  put_u64(out, static_cast<uint64_t>(at));
  return out;
}

}  // namespace

bool take_field(ByteSpan& from, ByteSpan& field) {
  if (from.size() < 4) return false;
  const uint32_t n = get_u32(from.data());
  if (from.size() - 4 < n) return false;
  field = from.subspan(4, n);
  from = from.subspan(4 + n);
  return true;
}

Result<std::unique_ptr<SealedRecords>> SealedRecords::open(Options options,
                                                           std::shared_ptr<const crypto::Identity> identity) {
  std::unique_ptr<SealedRecords> file(new SealedRecords);
  file->options_ = std::move(options);
  file->identity_ = std::move(identity);
  file->random_ = os_random();
  const auto& path = file->options_.path;
  file->fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file->fd_ < 0) return fail(errno_error(path, "opening"));
  if (file->options_.exclusive && flock(file->fd_, LOCK_EX | LOCK_NB) != 0)
    return fail(ErrorCode::kLocked, fmt::format("{}: another process has it", path.string()));
  // A full disk mustn't be met only when the store has failed.
  if (posix_fallocate(file->fd_, 0, file->options_.max_bytes) != 0)
    return fail(ErrorCode::kIo,
                fmt::format("{}: no room for a spool of {} bytes", path.string(), file->options_.max_bytes),
                "--spool-mb N takes less");
  uint8_t magic[kHeaderBytes] = {};
  if (!store::read_at(file->fd_, magic, 0)) return fail(errno_error(path, "reading"));
  if (std::memcmp(magic, store::kSpoolMagic.data(), kHeaderBytes) != 0) {
    Bytes head(store::kSpoolMagic.begin(), store::kSpoolMagic.end());
    put_u32(head, 0);
    if (!write_all(file->fd_, head, 0)) return fail(errno_error(path, "writing"));
    return file;
  }
  // What an earlier process left.
  SLM_CHECK(file->read([](ByteSpan) { return Status(); }));
  return file;
}

SealedRecords::~SealedRecords() {
  if (fd_ >= 0) close(fd_);
}

Result<bool> SealedRecords::put(ByteSpan plain) {
  crypto::SecretArray<32> ikm;
  random_->fill(ikm.writable());
  SLM_TRY(auto sender,
          crypto::hpke_sender(crypto::Aead::kAes256Gcm, identity_->pub.kem, as_bytes(options_.info), ikm.span()));
  SLM_TRY(const Bytes sealed, sender.context.seal(aad_of(end_), plain));
  Bytes record;
  put_u32(record, static_cast<uint32_t>(kEncBytes + sealed.size()));
  put_bytes(record, sender.enc);
  put_bytes(record, sealed);
  const auto n = static_cast<int64_t>(record.size());
  if (end_ + n + 4 > options_.max_bytes) return false;
  put_u32(record, 0);
  if (!write_all(fd_, record, end_)) return fail(errno_error(options_.path, "writing"));
  if (options_.sync) SLM_CHECK(sync());
  end_ += n;
  return true;
}

Status SealedRecords::sync() {
  if (fdatasync(fd_) != 0) return fail(errno_error(options_.path, "writing"));
  return {};
}

Status SealedRecords::read(const std::function<Status(ByteSpan)>& visit) {
  int64_t at = kHeaderBytes;
  damaged_ = false;
  for (;;) {
    uint8_t length[4];
    if (!store::read_at(fd_, length, at)) break;
    const uint32_t n = get_u32(length);
    if (n == 0) break;
    damaged_ = true;
    if (n <= kEncBytes || at + 4 + int64_t{n} > options_.max_bytes) break;
    Bytes record(n);
    if (!store::read_at(fd_, record, at + 4)) break;
    crypto::Encapsulation enc;
    std::copy_n(record.begin(), kEncBytes, enc.begin());
    const auto context =
        crypto::hpke_receiver(crypto::Aead::kAes256Gcm, identity_->kem_secret.span(), enc, as_bytes(options_.info));
    if (!context) break;
    const auto plain = context->open(0, aad_of(at), ByteSpan(record).subspan(kEncBytes));
    if (!plain) break;
    damaged_ = false;
    at += 4 + int64_t{n};
    SLM_CHECK(visit(*plain));
  }
  end_ = at;
  return {};
}

Status SealedRecords::clear() {
  // All of it: sealed text of what is elsewhere by now needn't lie here.
  const Bytes zeros(64 << 10, 0);
  for (int64_t at = kHeaderBytes; at < end_ + 4; at += static_cast<int64_t>(zeros.size())) {
    const auto n = std::min<int64_t>(static_cast<int64_t>(zeros.size()), std::min(end_ + 4, options_.max_bytes) - at);
    if (n > 0 && !write_all(fd_, ByteSpan(zeros).first(static_cast<size_t>(n)), at))
      return fail(errno_error(options_.path, "writing"));
  }
  SLM_CHECK(sync());
  end_ = kHeaderBytes;
  return {};
}

}  // namespace slm::collect
