#include "store/wraps.h"

#include <fmt/format.h>

namespace slm::store {
namespace {

constexpr std::string_view kColumns = "what, version, recipient, maker, enc, sealed, signature";

// HPKE's info: binds a wrap to fleet, key and recipient.
Bytes wrap_info(const AdminLog& admin, KeyName key, uint32_t recipient) {
  constexpr std::string_view kLabel = "slmconv wrap 1";
  Bytes out = labelled(kLabel);
  put_bytes(out, admin.fleet());
  out.push_back(key.what);
  put_u32(out, key.version);
  put_u32(out, recipient);
  return out;
}

Bytes signed_bytes(const AdminLog& admin, const Wrap& wrap) {
  Bytes out = wrap_info(admin, wrap.key, wrap.recipient);
  put_u32(out, wrap.maker);
  put_bytes(out, wrap.enc);
  put_bytes(out, wrap.sealed);
  return out;
}

Result<Wrap> read_wrap(const Statement& row) {
  Wrap wrap;
  const int64_t what = row.integer(0), version = row.integer(1), recipient = row.integer(2), maker = row.integer(3);
  if (what < 0 || what > 255 || version < 0 || version > UINT32_MAX || recipient < 0 || recipient > UINT32_MAX ||
      maker < 0 || maker > UINT32_MAX)
    return fail(ErrorCode::kIntegrity, "a wrap's numbers are out of range");
  wrap.key = {static_cast<uint8_t>(what), static_cast<uint32_t>(version)};
  wrap.recipient = static_cast<uint32_t>(recipient);
  wrap.maker = static_cast<uint32_t>(maker);
  SLM_TRY(wrap.enc, row.fixed<32>(4, "a wrap's encapsulation"));
  SLM_TRY(wrap.sealed, row.fixed<48>(5, "a wrap"));
  SLM_TRY(wrap.signature, row.fixed<64>(6, "a wrap's signature"));
  return wrap;
}

// Whether the unwrapped key is the one the admin signed.
bool is_signed_key(const AdminLog& admin, KeyName key, ByteSpan secret) {
  if (key.what >= 16) {
    const auto* record = admin.fleet_key(static_cast<FleetKey>(key.what - 16), key.version);
    return record != nullptr && record->commitment == fleet_key_commitment(record->key, key.version, secret);
  }
  const auto* record = admin.epoch(static_cast<Partition>(key.what), key.version);
  const auto pub = crypto::kem_public(secret);
  return record != nullptr && pub && *pub == record->pub;
}

}  // namespace

Result<Wrap> make_wrap(const AdminLog& admin, const WrapRequest& request, const WrapMaker& maker) {
  const IdentityRecord* recipient = admin.identity(request.recipient);
  if (recipient == nullptr) return fail(ErrorCode::kUnexpected, fmt::format("no identity {}", request.recipient));
  Wrap wrap;
  wrap.key = request.key;
  wrap.recipient = request.recipient;
  wrap.maker = maker.identity;
  crypto::SecretArray<32> ikm;
  maker.random->fill(ikm.writable());
  SLM_TRY(auto sender, crypto::hpke_sender(crypto::Aead::kAes256Gcm, recipient->pub.kem,
                                           wrap_info(admin, wrap.key, wrap.recipient), ikm.span()));
  wrap.enc = sender.enc;
  SLM_TRY(const Bytes sealed, sender.context.seal({}, request.secret));
  if (sealed.size() != wrap.sealed.size()) return fail(ErrorCode::kUnexpected, "a key to wrap isn't 32 bytes long");
  std::copy(sealed.begin(), sealed.end(), wrap.sealed.begin());
  SLM_TRY(wrap.signature, crypto::sign(maker.sign_secret, signed_bytes(admin, wrap)));
  return wrap;
}

Status save_wrap(Database& keys, const Wrap& wrap) {
  SLM_TRY(Statement stmt,
          keys.prepare(fmt::format("INSERT OR REPLACE INTO wraps({}) VALUES(?, ?, ?, ?, ?, ?, ?)", kColumns)));
  stmt.bind(1, int64_t{wrap.key.what})
      .bind(2, int64_t{wrap.key.version})
      .bind(3, int64_t{wrap.recipient})
      .bind(4, int64_t{wrap.maker});
  return stmt.bind(5, ByteSpan(wrap.enc)).bind(6, ByteSpan(wrap.sealed)).bind(7, ByteSpan(wrap.signature)).run();
}

Status delete_wrap(Database& keys, KeyName key, uint32_t recipient) {
  SLM_TRY(Statement stmt, keys.prepare("DELETE FROM wraps WHERE what = ? AND version = ? AND recipient = ?"));
  return stmt.bind(1, int64_t{key.what}).bind(2, int64_t{key.version}).bind(3, int64_t{recipient}).run();
}

Result<std::vector<Wrap>> load_wraps(Database& keys) {
  std::vector<Wrap> out;
  SLM_TRY(Statement stmt,
          keys.prepare(fmt::format("SELECT {} FROM wraps ORDER BY what, version, recipient", kColumns)));
  while (true) {
    SLM_TRY(const bool row, stmt.step());
    if (!row) return out;
    SLM_TRY(Wrap wrap, read_wrap(stmt));
    out.push_back(wrap);
  }
}

bool is_ahead(const AdminLog& admin, const Wrap& wrap) {
  const bool partition = wrap.key.what >= 1 && wrap.key.what <= kPartitions.size();
  const bool fleet = wrap.key.what >= 16 && wrap.key.what < 16 + kFleetKeys.size();
  if (!partition && !fleet) return false;
  const uint32_t current = partition ? admin.current_epoch(static_cast<Partition>(wrap.key.what)).number
                                     : admin.current_fleet_key(static_cast<FleetKey>(wrap.key.what - 16)).version;
  return wrap.key.version == current + 1;
}

Status check_wrap(const AdminLog& admin, const Wrap& wrap) {
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kIntegrity,
                fmt::format("the wrap of {} for identity {} {}", key_title(wrap.key), wrap.recipient, what));
  };
  const IdentityRecord* maker = admin.identity(wrap.maker);
  if (maker == nullptr || !crypto::verify(maker->pub.sign, signed_bytes(admin, wrap), wrap.signature))
    return bad("isn't signed by its maker");
  if (is_ahead(admin, wrap)) return {};
  const bool by_admin = wrap.maker == 1 && wrap.key.what >= 16;
  if (!by_admin && !admin.might_open(wrap.maker, wrap.key)) return bad("was made by someone who may not");
  if (!admin.may_open(wrap.recipient, wrap.key)) return bad("isn't covered by a grant");
  return {};
}

Result<crypto::SecretBytes> open_wrap(Database& keys, const AdminLog& admin, KeyName key, const Holder& holder) {
  SLM_TRY(Statement stmt,
          keys.prepare(fmt::format("SELECT {} FROM wraps WHERE what = ? AND version = ? AND recipient = ?", kColumns)));
  stmt.bind(1, int64_t{key.what}).bind(2, int64_t{key.version}).bind(3, int64_t{holder.identity});
  SLM_TRY(const bool row, stmt.step());
  const IdentityRecord* self = admin.identity(holder.identity);
  if (!row)
    return fail(ErrorCode::kWrongKey,
                fmt::format("this identity ({} {}) holds no wrap of the {}", self == nullptr ? "unknown" : self->role,
                            self == nullptr ? "" : self->pub.fingerprint(), key_title(key)),
                "slmconv keys list shows who may open what; --identity names another key");
  SLM_TRY(const Wrap wrap, read_wrap(stmt));
  stmt.reset();
  SLM_CHECK(check_wrap(admin, wrap));
  SLM_TRY(const auto receiver, crypto::hpke_receiver(crypto::Aead::kAes256Gcm, holder.kem_secret, wrap.enc,
                                                     wrap_info(admin, key, holder.identity)));
  SLM_TRY(Bytes opened, receiver.open(0, {}, wrap.sealed));
  auto secret = crypto::SecretBytes::copy_of(opened);
  crypto::cleanse(opened.data(), opened.size());
  if (!is_signed_key(admin, key, secret.span()))
    return fail(ErrorCode::kIntegrity, fmt::format("the wrapped {} is not the one the admin signed", key_title(key)));
  return secret;
}

}  // namespace slm::store
