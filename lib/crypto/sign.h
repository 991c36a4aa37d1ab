// Signatures: Ed25519.
//
// Errors: kUnexpected for keys of the wrong size; verify() answers false, whatever is wrong.
// Source: RFC 8032, by OpenSSL.
#pragma once

#include <array>

#include "core/bytes.h"
#include "core/random.h"
#include "crypto/secret.h"

namespace slm::crypto {

using SignPublicKey = std::array<uint8_t, 32>;
using Signature = std::array<uint8_t, 64>;

struct SignKeyPair {
  SignPublicKey pub{};
  SecretBytes secret;  // the 32-byte seed
};
SignKeyPair generate_sign_key(Random& random);
Result<SignPublicKey> sign_public(ByteSpan secret);

Result<Signature> sign(ByteSpan secret, ByteSpan message);
bool verify(const SignPublicKey& pub, ByteSpan message, ByteSpan signature);

}  // namespace slm::crypto
