#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace slm::crypto {

void cleanse(void* data, size_t size) { OPENSSL_cleanse(data, size); }

SecretBytes::SecretBytes(size_t size) : size_(size) {
  if (size == 0) return;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  mapped_ = (size + page - 1) / page * page;
  void* pages = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) std::abort();  // out of memory for a page of keys: nothing sensible can follow
  data_ = static_cast<uint8_t*>(pages);
  (void)mlock(data_, mapped_);
  (void)madvise(data_, mapped_, MADV_DONTDUMP);
  (void)madvise(data_, mapped_, MADV_WIPEONFORK);
}

SecretBytes SecretBytes::copy_of(ByteSpan bytes) {
  SecretBytes out(bytes.size());
  std::copy(bytes.begin(), bytes.end(), out.data_);
  return out;
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    mapped_ = std::exchange(other.mapped_, 0);
  }
  return *this;
}

SecretBytes::~SecretBytes() { release(); }

void SecretBytes::release() {
  if (data_ == nullptr) return;
  cleanse(data_, mapped_);
  munmap(data_, mapped_);  // unlocks too
  data_ = nullptr;
}

void disable_core_dumps() {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLM_SANITIZED
#endif
#endif
#if !defined(SLM_SANITIZED) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit none{0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

}  // namespace slm::crypto
