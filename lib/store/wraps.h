// Wraps: the private half of an epoch, or a fleet key, sealed by HPKE to one identity and signed by who made the wrap.
// The recipient checks what it unwraps against what the admin signed (the epoch's public half, the fleet key's
// commitment).
//
// Errors: kWrongKey when there is no wrap for this identity; kIntegrity when one was changed, or made by someone who
// may
//   not (an epoch is wrapped by one who may open it, a fleet key by the admin or one who holds it).
#pragma once

#include "store/admin_log.h"

namespace slm::store {

struct Wrap {
  KeyName key;
  uint32_t recipient = 0, maker = 0;  // identities
  crypto::Encapsulation enc{};
  std::array<uint8_t, 48> sealed{};
  crypto::Signature signature{};
};

struct WrapMaker {
  uint32_t identity = 0;
  ByteSpan sign_secret;
  Random* random = nullptr;
};

struct WrapRequest {
  KeyName key;
  uint32_t recipient = 0;
  ByteSpan secret;  // 32 bytes
};
Result<Wrap> make_wrap(const AdminLog& admin, const WrapRequest& request, const WrapMaker& maker);
Status save_wrap(Database& keys, const Wrap& wrap);  // in place of one of the same key and recipient
Status delete_wrap(Database& keys, KeyName key, uint32_t recipient);
// All wraps, in order of key and recipient.
Result<std::vector<Wrap>> load_wraps(Database& keys);
// Signature, maker, recipient and key against what the admin signed. A maker may have been revoked since: what it
// wrapped is checked against the admin's word for the key when it is opened.
Status check_wrap(const AdminLog& admin, const Wrap& wrap);

// Of a key that the admin didn't sign yet: a rotation that was cut off between the wraps and the signature leaves such,
// and nothing is sealed to it.
bool is_ahead(const AdminLog& admin, const Wrap& wrap);

struct Holder {
  uint32_t identity = 0;
  ByteSpan kem_secret;
};
Result<crypto::SecretBytes> open_wrap(Database& keys, const AdminLog& admin, KeyName key, const Holder& holder);

}  // namespace slm::store
