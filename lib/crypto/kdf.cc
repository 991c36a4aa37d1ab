#include "crypto/kdf.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <cstdlib>

namespace slm::crypto {

struct HmacSha256::Impl {
  EVP_MAC_CTX* ctx = nullptr;
  ~Impl() { EVP_MAC_CTX_free(ctx); }
};

// An empty key is an allowed key; OpenSSL takes a null pointer for "no key given".
static const uint8_t kNothing = 0;

// A context with its digest looked up, which costs more than a short message's HMAC; a copy takes a key of its own.
static EVP_MAC_CTX* new_context() {
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
  EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX* const context = mac == nullptr ? nullptr : EVP_MAC_CTX_new(mac);
  if (context == nullptr || EVP_MAC_init(context, &kNothing, 0, params) != 1) std::abort();
  return context;
}

HmacSha256::HmacSha256(ByteSpan key) : impl_(std::make_unique<Impl>()) {
  static const EVP_MAC_CTX* const fresh = new_context();
  impl_->ctx = EVP_MAC_CTX_dup(fresh);
  const uint8_t* bytes = key.empty() ? &kNothing : key.data();
  if (impl_->ctx == nullptr || EVP_MAC_init(impl_->ctx, bytes, key.size(), nullptr) != 1) std::abort();
}
HmacSha256::~HmacSha256() = default;

void HmacSha256::update(ByteSpan data) {
  if (!data.empty() && EVP_MAC_update(impl_->ctx, data.data(), data.size()) != 1) std::abort();
}

void HmacSha256::finish(std::span<uint8_t, 32> out) {
  size_t n = 0;
  if (EVP_MAC_final(impl_->ctx, out.data(), &n, out.size()) != 1 || n != out.size()) std::abort();
}

Digest HmacSha256::finish() {
  Digest out;
  finish(out);
  return out;
}

Digest hmac_sha256(ByteSpan key, std::initializer_list<ByteSpan> parts) {
  HmacSha256 mac(key);
  for (const auto& part : parts) mac.update(part);
  return mac.finish();
}

void hkdf_extract(ByteSpan salt, std::initializer_list<ByteSpan> ikm, std::span<uint8_t, 32> prk) {
  HmacSha256 mac(salt);
  for (const auto& part : ikm) mac.update(part);
  mac.finish(prk);
}

void hkdf_expand(ByteSpan prk, std::initializer_list<ByteSpan> info, std::span<uint8_t> out) {
  SecretArray<32> block;
  size_t done = 0;
  for (uint8_t counter = 1; done < out.size(); ++counter) {
    HmacSha256 mac(prk);
    if (counter > 1) mac.update(block.span());
    for (const auto& part : info) mac.update(part);
    mac.update({&counter, 1});
    mac.finish(std::span<uint8_t, 32>(block.data(), 32));
    const size_t n = std::min<size_t>(32, out.size() - done);
    std::copy_n(block.data(), n, out.data() + done);
    done += n;
  }
}

Status scrypt(ByteSpan passphrase, ByteSpan salt, const ScryptCost& cost, std::span<uint8_t> out) {
  if (cost.log2_n < 1 || cost.log2_n > 24 || cost.r < 1 || cost.r > 32 || cost.p < 1 || cost.p > 16)
    return fail(ErrorCode::kUnexpected,
                fmt::format("scrypt cost out of bounds: log2 N {}, r {}, p {}", cost.log2_n, cost.r, cost.p));
  const uint64_t n = uint64_t{1} << cost.log2_n;
  const uint64_t max_memory = 128 * n * cost.r + 128 * cost.r * cost.p + (1 << 20);
  if (EVP_PBE_scrypt(reinterpret_cast<const char*>(passphrase.data()), passphrase.size(), salt.data(), salt.size(), n,
                     cost.r, cost.p, max_memory, out.data(), out.size()) != 1)
    return fail(ErrorCode::kUnexpected, fmt::format("scrypt failed with log2 N {}", cost.log2_n));
  return {};
}

bool equal_constant_time(ByteSpan a, ByteSpan b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace slm::crypto
