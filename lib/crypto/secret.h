// Memory for keys. SecretBytes holds long-lived keys on pages of its own: locked, left out of core dumps, zeroed at the
// end (and in a forked child). SecretArray holds short-lived ones (a context's key) wherever its owner lies, zeroed at
// the end. Neither copies.
//
// Errors: none; where the kernel refuses to lock (RLIMIT_MEMLOCK) the pages are used unlocked: swap is then a risk.
// Threads: as for any value.
#pragma once

#include <array>
#include <span>

#include "core/bytes.h"

namespace slm::crypto {

void cleanse(void* data, size_t size);

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size);  // zeros
  static SecretBytes copy_of(ByteSpan bytes);
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  ByteSpan span() const { return {data_, size_}; }
  std::span<uint8_t> writable() { return {data_, size_}; }

 private:
  void release();
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;
};

template <size_t N>
class SecretArray {
 public:
  SecretArray() = default;
  SecretArray(SecretArray&& other) noexcept : bytes_(other.bytes_) { cleanse(other.bytes_.data(), N); }
  SecretArray& operator=(SecretArray&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      cleanse(other.bytes_.data(), N);
    }
    return *this;
  }
  SecretArray(const SecretArray&) = delete;
  SecretArray& operator=(const SecretArray&) = delete;
  ~SecretArray() { cleanse(bytes_.data(), N); }

  uint8_t* data() { return bytes_.data(); }
  const uint8_t* data() const { return bytes_.data(); }
  static constexpr size_t size() { return N; }
  ByteSpan span() const { return bytes_; }
  std::span<uint8_t> writable() { return bytes_; }

 private:
  std::array<uint8_t, N> bytes_{};
};

// No core file of this process, also where the kernel pipes cores to a program. Does nothing under a sanitizer, whose
// leak check needs to trace the process.
void disable_core_dumps();

}  // namespace slm::crypto
