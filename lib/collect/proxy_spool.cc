#include "collect/proxy_spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "core/file.h"

namespace slm::collect {

namespace {

constexpr char kMagic[] = "SLMSPOOL";
constexpr std::string_view kInfo = "slmconv collector spool 1";
constexpr size_t kEncBytes = 32;

Bytes encode(const store::NewCall& call) {
  Bytes out;
  put_field(out, call.id.bytes);
  put_field(out, call.tag);
  for (const std::string* text : {&call.source, &call.meta, &call.body}) put_field(out, as_bytes(*text));
  return out;
}

bool take_field(ByteSpan& from, ByteSpan& field) {
  if (from.size() < 4) return false;
  const uint32_t n = get_u32(from.data());
  if (from.size() - 4 < n) return false;
  field = from.subspan(4, n);
  from = from.subspan(4 + n);
  return true;
}

bool decode(ByteSpan from, store::NewCall& call) {
  ByteSpan fields[5];
  for (ByteSpan& field : fields)
    if (!take_field(from, field)) return false;
  if (!from.empty() || fields[0].size() != call.id.bytes.size() || fields[1].size() != call.tag.size()) return false;
  std::copy(fields[0].begin(), fields[0].end(), call.id.bytes.begin());
  std::copy(fields[1].begin(), fields[1].end(), call.tag.begin());
  call.source = as_text(fields[2]);
  call.meta = as_text(fields[3]);
  call.body = as_text(fields[4]);
  return true;
}

bool write_all(int fd, ByteSpan bytes, int64_t at) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), at);
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += n;
  }
  return true;
}

bool read_all(int fd, std::span<uint8_t> bytes, int64_t at) {
  while (!bytes.empty()) {
    const ssize_t n = pread(fd, bytes.data(), bytes.size(), at);
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

Result<std::unique_ptr<Spool>> Spool::open(Options options, crypto::Identity identity) {
  std::unique_ptr<Spool> spool(new Spool);
  spool->options_ = std::move(options);
  spool->identity_ = std::move(identity);
  spool->random_ = os_random();
  const auto& path = spool->options_.path;
  spool->fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (spool->fd_ < 0) return fail(errno_error(path, "opening"));
  // A full disk mustn't be met only when the store has failed.
  if (posix_fallocate(spool->fd_, 0, spool->options_.max_bytes) != 0)
    return fail(ErrorCode::kIo,
                fmt::format("{}: no room for a spool of {} bytes", path.string(), spool->options_.max_bytes),
                "--spool-mb N takes less");
  uint8_t magic[kHeaderBytes] = {};
  if (!read_all(spool->fd_, magic, 0)) return fail(errno_error(path, "reading"));
  if (std::memcmp(magic, kMagic, kHeaderBytes) != 0) {
    Bytes head(kMagic, kMagic + kHeaderBytes);
    put_u32(head, 0);
    if (!write_all(spool->fd_, head, 0)) return fail(errno_error(path, "writing"));
    return spool;
  }
  // What an earlier process left.
  SLM_CHECK(spool->read([](store::NewCall) { return Status(); }));
  return spool;
}

Spool::~Spool() {
  if (fd_ >= 0) close(fd_);
}

Result<bool> Spool::put(const store::NewCall& call) {
  crypto::SecretArray<32> ikm;
  random_->fill(ikm.writable());
  SLM_TRY(auto sender, crypto::hpke_sender(crypto::Aead::kAes256Gcm, identity_.pub.kem, as_bytes(kInfo), ikm.span()));
  SLM_TRY(const Bytes sealed, sender.context.seal(aad_of(end_), encode(call)));
  Bytes record;
  put_u32(record, static_cast<uint32_t>(kEncBytes + sealed.size()));
  put_bytes(record, sender.enc);
  put_bytes(record, sealed);
  const auto n = static_cast<int64_t>(record.size());
  if (end_ + n + 4 > options_.max_bytes) return false;
  put_u32(record, 0);
  if (!write_all(fd_, record, end_) || (options_.sync && fdatasync(fd_) != 0))
    return fail(errno_error(options_.path, "writing"));
  end_ += n;
  return true;
}

Status Spool::read(const std::function<Status(store::NewCall)>& visit) {
  int64_t at = kHeaderBytes;
  damaged_ = false;
  for (;;) {
    uint8_t length[4];
    if (!read_all(fd_, length, at)) break;
    const uint32_t n = get_u32(length);
    if (n == 0) break;
    damaged_ = true;
    if (n <= kEncBytes || at + 4 + int64_t{n} > options_.max_bytes) break;
    Bytes record(n);
    if (!read_all(fd_, record, at + 4)) break;
    crypto::Encapsulation enc;
    std::copy_n(record.begin(), kEncBytes, enc.begin());
    const auto context =
        crypto::hpke_receiver(crypto::Aead::kAes256Gcm, identity_.kem_secret.span(), enc, as_bytes(kInfo));
    if (!context) break;
    const auto text = context->open(0, aad_of(at), ByteSpan(record).subspan(kEncBytes));
    store::NewCall call;
    if (!text || !decode(*text, call)) break;
    damaged_ = false;
    at += 4 + int64_t{n};
    SLM_CHECK(visit(std::move(call)));
  }
  end_ = at;
  return {};
}

Status Spool::clear() {
  // All of it: sealed text of calls that are elsewhere by now needn't lie here.
  const Bytes zeros(64 << 10, 0);
  for (int64_t at = kHeaderBytes; at < end_ + 4; at += static_cast<int64_t>(zeros.size())) {
    const auto n = std::min<int64_t>(static_cast<int64_t>(zeros.size()), std::min(end_ + 4, options_.max_bytes) - at);
    if (n > 0 && !write_all(fd_, ByteSpan(zeros).first(static_cast<size_t>(n)), at))
      return fail(errno_error(options_.path, "writing"));
  }
  if (fdatasync(fd_) != 0) return fail(errno_error(options_.path, "writing"));
  end_ = kHeaderBytes;
  return {};
}

bool Spool::holds_calls(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  uint8_t length[4] = {};
  const bool some = read_all(fd, length, kHeaderBytes) && get_u32(length) != 0;
  close(fd);
  return some;
}

}  // namespace slm::collect
