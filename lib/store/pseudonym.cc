#include "store/pseudonym.h"

#include "crypto/kdf.h"

namespace slm::store {

Result<Digest> keyed_bytes(Session& session, FleetKey key, std::string_view label, std::string_view input) {
  SLM_TRY(const ByteSpan secret, session.current_fleet_secret(key));
  Bytes size;
  put_u32(size, static_cast<uint32_t>(label.size()));
  return crypto::hmac_sha256(secret, {size, as_bytes(label), as_bytes(input)});
}

Result<std::string> make_pseudonym(Session& session, std::string_view kind, std::string_view value) {
  SLM_TRY(const Digest digest, keyed_bytes(session, FleetKey::kPseudonym, kind, value));
  const std::string prefix = kind == "source" ? "src" : kind == "session" ? "ses" : std::string(kind.substr(0, 3));
  return prefix + "_" + to_hex(ByteSpan(digest).first(8));
}

Result<Tag> make_tag(Session& session, std::string_view content, std::optional<int64_t> time_ms, uint64_t occurrence) {
  SLM_TRY(const ByteSpan secret, session.current_fleet_secret(FleetKey::kDedup));
  crypto::HmacSha256 mac(secret);
  Bytes head;
  put_u64(head, content.size());
  mac.update(head);
  mac.update(as_bytes(content));
  Bytes rest{static_cast<uint8_t>(time_ms ? 1 : 0)};
  // Whole seconds, rounded down: logs of one call differ below that.
  if (time_ms) put_u64(rest, static_cast<uint64_t>(*time_ms >= 0 ? *time_ms / 1000 : -((-*time_ms + 999) / 1000)));
  put_u64(rest, occurrence);
  mac.update(rest);
  const Digest digest = mac.finish();
  Tag tag;
  std::copy_n(digest.begin(), tag.size(), tag.begin());
  return tag;
}

}  // namespace slm::store
