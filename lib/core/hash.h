// SHA-256 and SHA-256 of files. Keyed hashes are in crypto/.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/bytes.h"

namespace slm {

Digest sha256(ByteSpan data);
inline std::string sha256_hex(std::string_view text) { return to_hex(sha256(as_bytes(text))); }

// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(ByteSpan data);
  void update(std::string_view text) { update(as_bytes(text)); }
  Digest finish();  // once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Errors: kIo, naming the file.
Result<Digest> sha256_file(const std::filesystem::path& path);

// FNV-1a, 64 bits: for tables and hashing tricks, not for integrity.
inline uint64_t fnv1a(std::string_view text, uint64_t h = 0xcbf29ce484222325ULL) {
  for (unsigned char c : text) h = (h ^ c) * 0x100000001b3ULL;
  return h;
}

}  // namespace slm
