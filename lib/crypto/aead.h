// Authenticated encryption: AES-GCM with a 16-byte tag behind the ciphertext.
//
// A build with SLM_IDENTITY_AEAD (tests only) doesn't encrypt: the ciphertext is the plaintext and the tag is zeros, so
// that tests of sealing can be seen to fail.
//
// Requires: a key of key_bytes(aead); a 12-byte nonce never used twice with one key.
// Errors: kIntegrity when a tag doesn't match.
// Source: NIST SP 800-38D, by OpenSSL; numbers from RFC 9180 section 7.3.
#pragma once

#include "core/bytes.h"

namespace slm::crypto {

enum class Aead : uint16_t { kAes128Gcm = 0x0001, kAes256Gcm = 0x0002 };
inline constexpr size_t kTagBytes = 16, kNonceBytes = 12;
constexpr size_t key_bytes(Aead aead) { return aead == Aead::kAes128Gcm ? 16 : 32; }

struct AeadCall {
  ByteSpan key, nonce, aad;
};
Result<Bytes> aead_seal(Aead aead, const AeadCall& call, ByteSpan plaintext);
Result<Bytes> aead_open(Aead aead, const AeadCall& call, ByteSpan sealed);

}  // namespace slm::crypto
