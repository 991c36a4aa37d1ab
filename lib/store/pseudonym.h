// Keyed names and numbers from the fleet's symmetric keys. Who lacks the key can't make them, nor test guesses.
//
// Errors: kWrongKey when this identity holds no wrap of the key.
// Source: HMAC-SHA256 under one key per purpose; every input is length-prefixed.
#pragma once

#include "store/session.h"

namespace slm::store {

// "src_" or "ses_" (else the kind's first three letters and "_") and 16 hexadecimal digits. Rotates with the pseudonym
// key.
Result<std::string> make_pseudonym(Session& session, std::string_view kind, std::string_view value);
Result<Tag> make_tag(Session& session, std::string_view content, std::optional<int64_t> time_ms, uint64_t occurrence);
Result<Digest> keyed_bytes(Session& session, FleetKey key, std::string_view label, std::string_view input);

}  // namespace slm::store
