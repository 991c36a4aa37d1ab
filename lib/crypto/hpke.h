// Hybrid public key encryption, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-GCM. Who knows a public key can
// seal to it, and can't open what was sealed.
//
// Requires: one context seals at most 2^32 messages; ikm of an ephemeral key is 32 fresh random bytes.
// Errors: kIntegrity when a seal doesn't open (wrong key, wrong associated data, changed bytes).
// Threads: a context belongs to one thread.
// Source: RFC 9180; numbers of its sections 4.1, 5.1 and 7. The program's own suite has AES-256-GCM; AES-128-GCM is
// here
//   because the RFC's published vectors for X25519 use it.
#pragma once

#include <array>

#include "core/bytes.h"
#include "core/random.h"
#include "crypto/aead.h"
#include "crypto/secret.h"

namespace slm::crypto {

inline constexpr uint16_t kKemX25519 = 0x0020, kKdfHkdfSha256 = 0x0001;

using KemPublicKey = std::array<uint8_t, 32>;
using Encapsulation = std::array<uint8_t, 32>;

struct KemKeyPair {
  KemPublicKey pub{};
  SecretBytes secret;  // 32 bytes
};
// DeriveKeyPair of the RFC, section 7.1.3.
Result<KemKeyPair> derive_kem_key(ByteSpan ikm);
KemKeyPair generate_kem_key(Random& random);
Result<KemPublicKey> kem_public(ByteSpan secret);

class HpkeContext {
 public:
  HpkeContext(HpkeContext&&) = default;
  HpkeContext& operator=(HpkeContext&&) = default;

  // Seals the next message; its number is what next_seq() said before.
  Result<Bytes> seal(ByteSpan aad, ByteSpan plaintext);
  uint64_t next_seq() const { return seq_; }
  // Opens message number seq.
  Result<Bytes> open(uint64_t seq, ByteSpan aad, ByteSpan sealed) const;
  // Secret export, section 5.3. Requires: out.size() ≤ 255 · 32.
  void export_secret(ByteSpan exporter_context, std::span<uint8_t> out) const;

  // For tests against published vectors.
  ByteSpan key() const { return key_.span().first(key_bytes(aead_)); }
  ByteSpan base_nonce() const { return base_nonce_.span(); }

 private:
  friend struct HpkeSetup;
  HpkeContext() = default;
  std::array<uint8_t, kNonceBytes> nonce(uint64_t seq) const;

  Aead aead_ = Aead::kAes256Gcm;
  SecretArray<32> key_;
  SecretArray<kNonceBytes> base_nonce_;
  SecretArray<32> exporter_secret_;
  uint64_t seq_ = 0;
};

struct HpkeSender {
  Encapsulation enc{};
  HpkeContext context;
};
// ephemeral_ikm: 32 random bytes, used for nothing else.
Result<HpkeSender> hpke_sender(Aead aead, const KemPublicKey& recipient, ByteSpan info, ByteSpan ephemeral_ikm);
Result<HpkeContext> hpke_receiver(Aead aead, ByteSpan recipient_secret, const Encapsulation& enc, ByteSpan info);

}  // namespace slm::crypto
