// Keyed hashes and key derivation: HMAC-SHA256, HKDF-SHA256, scrypt.
//
// Errors: scrypt gives kUnexpected for parameters it can't work with; the others can't fail but for want of memory
// (abort). Source: RFC 2104, RFC 5869, RFC 7914; all by OpenSSL 3.
#pragma once

#include <initializer_list>
#include <memory>
#include <string_view>

#include "core/bytes.h"
#include "crypto/secret.h"

namespace slm::crypto {

class HmacSha256 {
 public:
  explicit HmacSha256(ByteSpan key);
  ~HmacSha256();
  HmacSha256(const HmacSha256&) = delete;
  HmacSha256& operator=(const HmacSha256&) = delete;
  void update(ByteSpan data);
  void finish(std::span<uint8_t, 32> out);  // once
  Digest finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// HMAC over the parts one after another (no separators: the caller makes them unambiguous).
Digest hmac_sha256(ByteSpan key, std::initializer_list<ByteSpan> parts);

void hkdf_extract(ByteSpan salt, std::initializer_list<ByteSpan> ikm, std::span<uint8_t, 32> prk);
// Requires: out.size() ≤ 255 · 32.
void hkdf_expand(ByteSpan prk, std::initializer_list<ByteSpan> info, std::span<uint8_t> out);

// Memory needed: 128 · r · 2^log2_n bytes.
struct ScryptCost {
  unsigned log2_n = 17;  // 128 MiB with r = 8
  unsigned r = 8, p = 1;
};
Status scrypt(ByteSpan passphrase, ByteSpan salt, const ScryptCost& cost, std::span<uint8_t> out);

// In time that depends on the sizes only.
bool equal_constant_time(ByteSpan a, ByteSpan b);

}  // namespace slm::crypto
