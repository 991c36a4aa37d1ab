#include "crypto/hpke.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <memory>

#include "crypto/kdf.h"

namespace slm::crypto {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* ctx) const { EVP_PKEY_CTX_free(ctx); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free>;

constexpr std::array<uint8_t, 2> two_bytes(uint16_t v) {
  return {static_cast<uint8_t>(v >> 8), static_cast<uint8_t>(v)};
}

constexpr std::string_view kVersion = "HPKE-v1";

// LabeledExtract and LabeledExpand, RFC 9180 section 4.
void labeled_extract(ByteSpan suite, ByteSpan salt, std::string_view label, ByteSpan ikm, SecretArray<32>& prk) {
  hkdf_extract(salt, {as_bytes(kVersion), suite, as_bytes(label), ikm}, std::span<uint8_t, 32>(prk.data(), 32));
}

void labeled_expand(ByteSpan suite, ByteSpan prk, std::string_view label, ByteSpan info, std::span<uint8_t> out) {
  const auto length = two_bytes(static_cast<uint16_t>(out.size()));
  hkdf_expand(prk, {length, as_bytes(kVersion), suite, as_bytes(label), info}, out);
}

Bytes kem_suite() {
  Bytes out;
  put_bytes(out, as_bytes("KEM"));
  put_bytes(out, two_bytes(kKemX25519));
  return out;
}

Bytes hpke_suite(Aead aead) {
  Bytes out;
  put_bytes(out, as_bytes("HPKE"));
  put_bytes(out, two_bytes(kKemX25519));
  put_bytes(out, two_bytes(kKdfHkdfSha256));
  put_bytes(out, two_bytes(static_cast<uint16_t>(aead)));
  return out;
}

Result<Key> private_key(ByteSpan secret) {
  Key key(secret.size() == 32 ? EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), 32) : nullptr);
  if (!key) return fail(ErrorCode::kUnexpected, "not an X25519 private key");
  return key;
}

Result<KemPublicKey> public_half(EVP_PKEY* key) {
  KemPublicKey pub;
  size_t n = pub.size();
  if (EVP_PKEY_get_raw_public_key(key, pub.data(), &n) != 1 || n != pub.size())
    return fail(ErrorCode::kUnexpected, "not an X25519 private key");
  return pub;
}

// Diffie-Hellman, then ExtractAndExpand over the encapsulation and the recipient's key (sections 4.1 and 7.1).
struct KemShare {
  ByteSpan enc, recipient;
};
Status shared_secret(EVP_PKEY* own, const KemPublicKey& other, const KemShare& share, SecretArray<32>& out) {
  const Key peer(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, other.data(), other.size()));
  const KeyContext ctx(EVP_PKEY_CTX_new(own, nullptr));
  SecretArray<32> dh;
  size_t n = dh.size();
  // OpenSSL refuses an all-zero result, as section 7.1.4 asks.
  if (!peer || !ctx || EVP_PKEY_derive_init(ctx.get()) != 1 || EVP_PKEY_derive_set_peer(ctx.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(ctx.get(), dh.data(), &n) != 1 || n != dh.size())
    return fail(ErrorCode::kIntegrity, "X25519 key agreement failed: the other side's key is of low order");
  const Bytes suite = kem_suite();
  SecretArray<32> prk;
  labeled_extract(suite, {}, "eae_prk", dh.span(), prk);
  Bytes context(share.enc.begin(), share.enc.end());
  put_bytes(context, share.recipient);
  labeled_expand(suite, prk.span(), "shared_secret", context, out.writable());
  return {};
}

void derive_secret(ByteSpan ikm, std::span<uint8_t> out) {
  const Bytes suite = kem_suite();
  SecretArray<32> prk;
  labeled_extract(suite, {}, "dkp_prk", ikm, prk);
  labeled_expand(suite, prk.span(), "sk", {}, out);
}

}  // namespace

Result<KemKeyPair> derive_kem_key(ByteSpan ikm) {
  KemKeyPair pair{{}, SecretBytes(32)};
  derive_secret(ikm, pair.secret.writable());
  SLM_TRY(pair.pub, kem_public(pair.secret.span()));
  return pair;
}

KemKeyPair generate_kem_key(Random& random) {
  SecretArray<32> ikm;
  random.fill(ikm.writable());
  auto pair = derive_kem_key(ikm.span());
  if (!pair) std::abort();  // any 32 bytes are an X25519 private key
  return std::move(*pair);
}

Result<KemPublicKey> kem_public(ByteSpan secret) {
  SLM_TRY(const Key key, private_key(secret));
  return public_half(key.get());
}

// KeySchedule in base mode (no pre-shared key), section 5.1.
struct HpkeSetup {
  static HpkeContext schedule(Aead aead, ByteSpan shared, ByteSpan info) {
    const Bytes suite = hpke_suite(aead);
    SecretArray<32> psk_id_hash, info_hash, secret;
    labeled_extract(suite, {}, "psk_id_hash", {}, psk_id_hash);
    labeled_extract(suite, {}, "info_hash", info, info_hash);
    Bytes context{0};  // mode_base
    put_bytes(context, psk_id_hash.span());
    put_bytes(context, info_hash.span());
    labeled_extract(suite, shared, "secret", {}, secret);
    HpkeContext out;
    out.aead_ = aead;
    labeled_expand(suite, secret.span(), "key", context, out.key_.writable().first(key_bytes(aead)));
    labeled_expand(suite, secret.span(), "base_nonce", context, out.base_nonce_.writable());
    labeled_expand(suite, secret.span(), "exp", context, out.exporter_secret_.writable());
    return out;
  }
};

Result<HpkeSender> hpke_sender(Aead aead, const KemPublicKey& recipient, ByteSpan info, ByteSpan ephemeral_ikm) {
  SecretArray<32> secret, shared;
  derive_secret(ephemeral_ikm, secret.writable());
  SLM_TRY(const Key key, private_key(secret.span()));
  SLM_TRY(const Encapsulation enc, public_half(key.get()));
  SLM_CHECK(shared_secret(key.get(), recipient, {enc, recipient}, shared));
  return HpkeSender{enc, HpkeSetup::schedule(aead, shared.span(), info)};
}

Result<HpkeContext> hpke_receiver(Aead aead, ByteSpan recipient_secret, const Encapsulation& enc, ByteSpan info) {
  SLM_TRY(const Key key, private_key(recipient_secret));
  SLM_TRY(const KemPublicKey recipient, public_half(key.get()));
  SecretArray<32> shared;
  SLM_CHECK(shared_secret(key.get(), enc, {enc, recipient}, shared));
  return HpkeSetup::schedule(aead, shared.span(), info);
}

std::array<uint8_t, kNonceBytes> HpkeContext::nonce(uint64_t seq) const {
  std::array<uint8_t, kNonceBytes> out;
  for (size_t i = 0; i < kNonceBytes; ++i) {
    const size_t from_end = kNonceBytes - 1 - i;
    out[i] = base_nonce_.data()[i] ^ static_cast<uint8_t>(from_end < 8 ? seq >> (8 * from_end) : 0);
  }
  return out;
}

Result<Bytes> HpkeContext::seal(ByteSpan aad, ByteSpan plaintext) {
  if (seq_ >= uint64_t{1} << 32) return fail(ErrorCode::kUnexpected, "one HPKE context seals at most 2^32 messages");
  const auto iv = nonce(seq_);
  ++seq_;  // spent, also if sealing fails
  return aead_seal(aead_, {key(), iv, aad}, plaintext);
}

Result<Bytes> HpkeContext::open(uint64_t seq, ByteSpan aad, ByteSpan sealed) const {
  const auto iv = nonce(seq);
  return aead_open(aead_, {key(), iv, aad}, sealed);
}

void HpkeContext::export_secret(ByteSpan exporter_context, std::span<uint8_t> out) const {
  labeled_expand(hpke_suite(aead_), exporter_secret_.span(), "sec", exporter_context, out);
}

}  // namespace slm::crypto
