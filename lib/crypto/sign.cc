#include "crypto/sign.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <memory>

namespace slm::crypto {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* ctx) const { EVP_MD_CTX_free(ctx); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;

Key private_key(ByteSpan secret) {
  return Key(secret.size() == 32 ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, secret.data(), 32)
                                 : nullptr);
}

}  // namespace

SignKeyPair generate_sign_key(Random& random) {
  SignKeyPair pair{{}, SecretBytes(32)};
  random.fill(pair.secret.writable());
  auto pub = sign_public(pair.secret.span());
  if (!pub) std::abort();  // any 32 bytes are an Ed25519 seed
  pair.pub = *pub;
  return pair;
}

Result<SignPublicKey> sign_public(ByteSpan secret) {
  const Key key = private_key(secret);
  SignPublicKey pub;
  size_t n = pub.size();
  if (!key || EVP_PKEY_get_raw_public_key(key.get(), pub.data(), &n) != 1 || n != pub.size())
    return fail(ErrorCode::kUnexpected, "not an Ed25519 private key");
  return pub;
}

Result<Signature> sign(ByteSpan secret, ByteSpan message) {
  const Key key = private_key(secret);
  const Context ctx(EVP_MD_CTX_new());
  Signature out;
  size_t n = out.size();
  if (!key || !ctx || EVP_DigestSignInit(ctx.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(ctx.get(), out.data(), &n, message.data(), message.size()) != 1 || n != out.size())
    return fail(ErrorCode::kUnexpected, "signing failed");
  return out;
}

bool verify(const SignPublicKey& pub, ByteSpan message, ByteSpan signature) {
  if (signature.size() != std::tuple_size_v<Signature>) return false;
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, pub.data(), pub.size()));
  const Context ctx(EVP_MD_CTX_new());
  return key && ctx && EVP_DigestVerifyInit(ctx.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(ctx.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
}

}  // namespace slm::crypto
