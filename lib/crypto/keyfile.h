// Identities and the files they lie in. An identity is an X25519 pair (opens what is sealed to it) and an Ed25519 pair
// (signs). Its file pins the fleet it belongs to and the admin whose signatures it believes.
//
// The file is text, mode 0600, one `name value` a line, in this order:
//   slmconv-key 1 · role · fleet (32 hex) · admin (fingerprint) · x25519 (64 hex) · ed25519 (64 hex) ·
//   protection ("none", or "scrypt LOG2N R P SALT") · secret (hex: both private keys, X25519 first; under scrypt sealed
//   by AES-256-GCM with the lines above as associated data)
//
// Errors: kWrongKey for a wrong passphrase, and for a file whose public and private halves don't belong together;
// kBadInput for
//   anything that isn't such a file; kFormatTooNew; kIo.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/random.h"
#include "crypto/hpke.h"
#include "crypto/kdf.h"
#include "crypto/sign.h"

namespace slm::crypto {

// What others know of an identity.
struct PublicIdentity {
  KemPublicKey kem{};
  SignPublicKey sign{};
  // 32 hexadecimal digits: the first half of SHA-256 over both keys.
  std::string fingerprint() const;
  auto operator<=>(const PublicIdentity&) const = default;
};

struct Identity {
  std::string role;
  std::array<uint8_t, 16> fleet{};
  std::string admin;  // fingerprint
  PublicIdentity pub;
  SecretBytes kem_secret, sign_secret;
};
// role, fleet and admin are left for the caller.
Identity generate_identity(Random& random);

struct KeyFileOptions {
  ByteSpan passphrase;  // empty: stored unprotected
  ScryptCost cost;
  Random* random = nullptr;  // for the salt; required with a passphrase
};
// Refuses to overwrite (kUsage).
Status write_key_file(const std::filesystem::path& path, const Identity& identity, const KeyFileOptions& options = {});

// Asked for a passphrase only if the file needs one.
using AskPassphrase = std::function<Result<SecretBytes>()>;
Result<Identity> read_key_file(const std::filesystem::path& path, const AskPassphrase& ask);

// The passphrase from the file that `passphrase_file` names, else from the one that the environment variable
// SLMCONV_PASSPHRASE_FILE names (first line), else typed on the terminal. Never a flag's value.
// Errors: kWrongKey when there is none of these; kInterrupted while it waits; kIo. The terminal is left as it was.
Result<SecretBytes> find_passphrase(const std::filesystem::path& passphrase_file, std::string_view prompt);

}  // namespace slm::crypto
