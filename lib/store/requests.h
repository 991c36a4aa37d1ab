// A key made where it will be used: its owner hands over the public half, signed by itself, and the admin grants that.
// The private half never travels.
//
// A request is one line of canonical JSON: ed25519, fleet, role, signature, slmconv_key_request (1), x25519. The
// signature, by the key that it brings, is Ed25519 over "slmconv key request 1" ‖ fleet[16] ‖ field(role) ‖ X25519[32]
// ‖ Ed25519[32]. Who carries it could put another in its place: the admin compares fingerprints.
//
// Errors: kUsage for a role that can't be granted; kBadInput for what is no request; kWrongKey for another fleet's, or
// another fingerprint's.
#pragma once

#include "store/store.h"

namespace slm::store {

struct KeyRequest {
  std::filesystem::path fleet_of;  // a store, or a bundle of one: whose fleet, and which admin the key will believe
  std::string admin_fingerprint;   // whose fleet it must be; empty: not checked
  Role role = Role::kTrainer;
  std::filesystem::path key_file, request_file;  // to write: the private half, what the admin gets
  std::string passphrase;                        // empty: the key file lies unprotected
  Random* random = nullptr;
};
struct KeyRequested {
  std::string fingerprint, admin_fingerprint;
};
Result<KeyRequested> request_key(const KeyRequest& request);

// Signs a request in, as grant_key() does with a key that it makes.
struct GrantRequest {
  std::filesystem::path request_file;
  Role role = Role::kTrainer;  // what the admin means to grant; the request must say so too
  std::string fingerprint;     // as its owner read it out, or the first 8 digits or more; empty: not checked
  std::filesystem::path admin_keys;
  std::vector<std::filesystem::path> more_keys;
  Random* random = nullptr;
  Clock* clock = nullptr;
};
Result<GrantResult> grant_request(const std::filesystem::path& dir, const GrantRequest& options);

// A further recovery key: opens everything and writes nothing. With a new one in its place the old one may be revoked.
// `role` of the options isn't used.
Result<GrantResult> grant_recovery(const std::filesystem::path& dir, const GrantOptions& options);

}  // namespace slm::store
