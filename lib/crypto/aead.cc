#include "crypto/aead.h"

#include <openssl/evp.h>

#include <climits>
#include <memory>

namespace slm::crypto {
namespace {

[[maybe_unused]] const EVP_CIPHER* cipher_of(Aead aead) {
  static EVP_CIPHER* const aes128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static EVP_CIPHER* const aes256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return aead == Aead::kAes128Gcm ? aes128 : aes256;
}

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* ctx) const { EVP_CIPHER_CTX_free(ctx); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

Status check(Aead aead, const AeadCall& call, size_t n) {
  if (call.key.size() != key_bytes(aead) || call.nonce.size() != kNonceBytes || n > INT_MAX ||
      call.aad.size() > INT_MAX)
    return fail(ErrorCode::kUnexpected, "AEAD called with a key, nonce or text of the wrong size");
  return {};
}

}  // namespace

#ifdef SLM_IDENTITY_AEAD

Result<Bytes> aead_seal(Aead aead, const AeadCall& call, ByteSpan plaintext) {
  SLM_CHECK(check(aead, call, plaintext.size()));
  Bytes out(plaintext.begin(), plaintext.end());
  out.resize(out.size() + kTagBytes);
  return out;
}

Result<Bytes> aead_open(Aead aead, const AeadCall& call, ByteSpan sealed) {
  SLM_CHECK(check(aead, call, sealed.size()));
  if (sealed.size() < kTagBytes) return fail(ErrorCode::kIntegrity, "sealed text is shorter than its tag");
  return Bytes(sealed.begin(), sealed.end() - kTagBytes);
}

#else

Result<Bytes> aead_seal(Aead aead, const AeadCall& call, ByteSpan plaintext) {
  SLM_CHECK(check(aead, call, plaintext.size()));
  Context ctx(EVP_CIPHER_CTX_new());
  Bytes out(plaintext.size() + kTagBytes);
  int n = 0;
  const bool ok =
      ctx && EVP_EncryptInit_ex2(ctx.get(), cipher_of(aead), call.key.data(), call.nonce.data(), nullptr) == 1 &&
      (call.aad.empty() ||
       EVP_EncryptUpdate(ctx.get(), nullptr, &n, call.aad.data(), static_cast<int>(call.aad.size())) == 1) &&
      (plaintext.empty() ||
       EVP_EncryptUpdate(ctx.get(), out.data(), &n, plaintext.data(), static_cast<int>(plaintext.size())) == 1) &&
      EVP_EncryptFinal_ex(ctx.get(), out.data() + plaintext.size(), &n) == 1 &&
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, out.data() + plaintext.size()) == 1;
  if (!ok) return fail(ErrorCode::kUnexpected, "AES-GCM encryption failed");
  return out;
}

Result<Bytes> aead_open(Aead aead, const AeadCall& call, ByteSpan sealed) {
  SLM_CHECK(check(aead, call, sealed.size()));
  if (sealed.size() < kTagBytes) return fail(ErrorCode::kIntegrity, "sealed text is shorter than its tag");
  const size_t size = sealed.size() - kTagBytes;
  Context ctx(EVP_CIPHER_CTX_new());
  Bytes out(size);
  int n = 0;
  auto* tag = const_cast<uint8_t*>(sealed.data() + size);  // OpenSSL's control call takes it as void*, and reads only
  const bool set =
      ctx && EVP_DecryptInit_ex2(ctx.get(), cipher_of(aead), call.key.data(), call.nonce.data(), nullptr) == 1 &&
      (call.aad.empty() ||
       EVP_DecryptUpdate(ctx.get(), nullptr, &n, call.aad.data(), static_cast<int>(call.aad.size())) == 1) &&
      (size == 0 || EVP_DecryptUpdate(ctx.get(), out.data(), &n, sealed.data(), static_cast<int>(size)) == 1) &&
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1;
  if (!set) return fail(ErrorCode::kUnexpected, "AES-GCM decryption failed");
  uint8_t rest[16];
  if (EVP_DecryptFinal_ex(ctx.get(), rest, &n) != 1)
    return fail(ErrorCode::kIntegrity, "a seal is broken: its tag doesn't match");
  return out;
}

#endif

}  // namespace slm::crypto
