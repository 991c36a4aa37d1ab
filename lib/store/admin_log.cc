#include "store/admin_log.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "store/schema.h"

namespace slm::store {
namespace {

constexpr std::string_view kSignedLabel = "slmconv admin entry 1";

constexpr uint8_t bit(Role role) { return static_cast<uint8_t>(1u << static_cast<unsigned>(role)); }

struct FleetKeyRow {
  const char* name;
  uint8_t holders;
};
constexpr FleetKeyRow kFleetKeyTable[] = {
    {"deduplication", bit(Role::kCollector) | bit(Role::kCurator)},
    {"source", bit(Role::kCollector) | bit(Role::kCurator)},
    {"pseudonym", bit(Role::kCollector) | bit(Role::kCurator)},
    {"split", bit(Role::kCurator)},
    {"surrogate", bit(Role::kCurator)},
    {"digest", bit(Role::kCollector) | bit(Role::kCurator) | bit(Role::kTrainer)},
};

// Roles in stored entries; the recovery recipient has no Role, for it can't run a command.
constexpr uint8_t kRecoveryCode = 255;
std::optional<std::string> role_of_code(uint8_t code) {
  if (code == kRecoveryCode) return std::string(kRecoveryRole);
  if (code < kRoles.size()) return std::string(role_name(static_cast<Role>(code)));
  return std::nullopt;
}

Status bad(const AdminEntry& entry, std::string_view what) {
  return fail(ErrorCode::kIntegrity, fmt::format("admin entry {}: {}", entry.seq, what));
}

bool is_partition(uint8_t v) { return v >= 1 && v <= kPartitions.size(); }

}  // namespace

std::string_view fleet_key_name(FleetKey key) { return kFleetKeyTable[static_cast<size_t>(key)].name; }
bool may_hold(Role role, FleetKey key) { return (kFleetKeyTable[static_cast<size_t>(key)].holders & bit(role)) != 0; }

std::string key_title(KeyName key) {
  if (is_partition(key.what))
    return fmt::format("{} epoch {}", partition_name(static_cast<Partition>(key.what)), key.version);
  if (key.what >= 16 && key.what < 16 + kFleetKeys.size())
    return fmt::format("{} key {}", fleet_key_name(static_cast<FleetKey>(key.what - 16)), key.version);
  return fmt::format("key {}.{}", key.what, key.version);
}

uint32_t entry_kinds_of(Role role) {
  uint32_t out = bit_of(EntryKind::kAct);
  if (role == Role::kCollector) out |= bit_of(EntryKind::kRaw);
  if (role == Role::kCurator) out |= bit_of(EntryKind::kCurated);
  if (role == Role::kCurator || role == Role::kTrainer) out |= bit_of(EntryKind::kArtefact);
  return out;
}

Bytes AdminEntry::signed_bytes() const {
  Bytes out = labelled(kSignedLabel);
  put_u32(out, seq);
  put_bytes(out, prev);
  out.push_back(static_cast<uint8_t>(kind));
  put_u64(out, static_cast<uint64_t>(time_ms));
  put_field(out, payload);
  return out;
}

Digest AdminEntry::hash() const {
  Bytes bytes = signed_bytes();
  put_bytes(bytes, signature);
  return sha256(bytes);
}

Digest fleet_key_commitment(FleetKey key, uint32_t version, ByteSpan secret) {
  Sha256 h;
  h.update("slmconv fleet key 1");
  Bytes name{static_cast<uint8_t>(key)};
  put_u32(name, version);
  h.update(name);
  h.update(secret);
  return h.finish();
}

Result<AdminLog> AdminLog::load(Database& log) {
  std::vector<AdminEntry> entries;
  SLM_TRY(Statement stmt, log.prepare("SELECT seq, prev, kind, time_ms, payload, signature FROM admin ORDER BY seq"));
  while (true) {
    SLM_TRY(const bool row, stmt.step());
    if (!row) break;
    AdminEntry entry;
    entry.seq = static_cast<uint32_t>(stmt.integer(0));
    const int64_t kind = stmt.integer(2);
    entry.kind = static_cast<AdminKind>(kind);
    entry.time_ms = stmt.integer(3);
    const ByteSpan payload = stmt.blob(4);
    entry.payload.assign(payload.begin(), payload.end());
    SLM_TRY(entry.prev, stmt.fixed<32>(1, "an admin entry's link"));
    SLM_TRY(entry.signature, stmt.fixed<64>(5, "an admin entry's signature"));
    if (stmt.integer(0) != static_cast<int64_t>(entries.size()) + 1)
      return fail(ErrorCode::kIntegrity, fmt::format("admin entry {} is missing", entries.size() + 1));
    if (kind < 1 || kind > 255)
      return fail(ErrorCode::kIntegrity, fmt::format("admin entry {} is of kind {}", entry.seq, kind));
    entries.push_back(std::move(entry));
  }
  return from_entries(entries);
}

Result<AdminLog> AdminLog::from_entries(const std::vector<AdminEntry>& entries) {
  AdminLog out;
  for (const AdminEntry& entry : entries) SLM_CHECK(out.apply(entry));
  if (out.entries_.empty()) return fail(ErrorCode::kIntegrity, "log.db holds no admin entry: not even a founding one");
  for (const Partition partition : kPartitions)
    if (out.epoch(partition, 1) == nullptr)
      return fail(ErrorCode::kIntegrity, fmt::format("no admin entry names a {} epoch", partition_name(partition)));
  for (const FleetKey key : kFleetKeys)
    if (out.fleet_key(key, 1) == nullptr)
      return fail(ErrorCode::kIntegrity, fmt::format("no admin entry names a {} key", fleet_key_name(key)));
  return out;
}

Status AdminLog::apply(const AdminEntry& entry) {
  const bool first = entries_.empty();
  if (entry.seq != n_entries() + 1) return bad(entry, "is out of order");
  if (first != (entry.kind == AdminKind::kFounded)) return bad(entry, "only the first one founds a fleet");
  if (entry.prev != (first ? Digest{} : hashes_.back())) return bad(entry, "its link to the one before doesn't hold");
  Cursor in(entry.payload);
  crypto::SignPublicKey signer{};
  uint32_t founded_format = kFormat;
  if (first) {
    const uint32_t format = in.u32();
    fleet_ = in.fixed<16>();
    IdentityRecord admin{1, std::string(role_name(Role::kAdmin)), {in.fixed<32>(), in.fixed<32>()}, entry.time_ms};
    const uint8_t demo = in.u8();
    SLM_CHECK(in.done("the founding entry"));
    founded_format = format;
    if (demo > 1) return bad(entry, "isn't canonically encoded");
    demo_ = demo == 1;
    signer = admin.pub.sign;
    identities_[1] = std::move(admin);
    grants_.push_back({1, entry_kinds_of(Role::kAdmin), {}, entry.time_ms});
  } else {
    signer = admin().sign;
  }
  if (!crypto::verify(signer, entry.signed_bytes(), entry.signature))
    return bad(entry, "isn't signed by the fleet's admin");
  if (founded_format > kFormat)
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("founded with store format {}, this program knows {}", founded_format, kFormat));

  switch (entry.kind) {
    case AdminKind::kFounded:
      break;
    case AdminKind::kStore:
      stores_.push_back(in.fixed<16>());
      SLM_CHECK(in.done("a store's admin entry"));
      break;
    case AdminKind::kIdentity: {
      const auto role = role_of_code(in.u8());
      IdentityRecord identity{entry.seq, role.value_or(""), {in.fixed<32>(), in.fixed<32>()}, entry.time_ms};
      SLM_CHECK(in.done("an identity's admin entry"));
      if (!role) return bad(entry, "names an unknown role");
      if (find(identity.pub) != nullptr) return bad(entry, "repeats an identity");
      identities_[entry.seq] = std::move(identity);
      break;
    }
    case AdminKind::kEpoch: {
      const uint8_t partition = in.u8();
      EpochRecord epoch;
      epoch.number = in.u32();
      const uint16_t kem = in.u16(), kdf = in.u16(), aead = in.u16();
      epoch.pub = in.fixed<32>();
      epoch.maker = in.u32();
      SLM_CHECK(in.done("an epoch's admin entry"));
      if (!is_partition(partition)) return bad(entry, "names an unknown partition");
      epoch.partition = static_cast<Partition>(partition);
      epoch.seq = entry.seq;
      if (kem != crypto::kKemX25519 || kdf != crypto::kKdfHkdfSha256 ||
          aead != static_cast<uint16_t>(crypto::Aead::kAes256Gcm))
        return fail(ErrorCode::kFormatTooNew, fmt::format("admin entry {}: HPKE suite {:#x}, {:#x}, {:#x} is not known",
                                                          entry.seq, kem, kdf, aead));
      if (identity(epoch.maker) == nullptr || epoch.maker == 1)
        return bad(entry, "an epoch is made by one who may read it, never by the admin");
      const KeyName name{partition, epoch.number};
      if (epoch.number == 0 || (epoch.number > 1 && !epochs_.contains({partition, epoch.number - 1})) ||
          epochs_.contains(name))
        return bad(entry, "epochs are numbered one by one");
      epochs_[name] = epoch;
      break;
    }
    case AdminKind::kFleetKey: {
      const uint8_t key = in.u8();
      FleetKeyRecord record{static_cast<FleetKey>(key), in.u32(), in.fixed<32>()};
      SLM_CHECK(in.done("a fleet key's admin entry"));
      if (key >= kFleetKeys.size()) return bad(entry, "names an unknown fleet key");
      const KeyName name{what_of(record.key), record.version};
      if (record.version == 0 || (record.version > 1 && !fleet_keys_.contains({name.what, record.version - 1})) ||
          fleet_keys_.contains(name))
        return bad(entry, "fleet keys are numbered one by one");
      fleet_keys_[name] = record;
      break;
    }
    case AdminKind::kGrant: {
      Grant grant{in.u32(), in.u32(), {}, entry.time_ms};
      const uint32_t n = in.u32();
      if (n > in.left() / 5) return bad(entry, "isn't canonically encoded");
      for (uint32_t i = 0; i < n; ++i) {
        const uint8_t what = in.u8();
        grant.opens.push_back({what, in.u32()});
      }
      SLM_CHECK(in.done("a grant"));
      if (identity(grant.identity) == nullptr) return bad(entry, "grants to an unknown identity");
      for (const KeyName& key : grant.opens)
        if (!epochs_.contains(key) && !fleet_keys_.contains(key)) return bad(entry, "grants an unknown key");
      grants_.push_back(std::move(grant));
      break;
    }
    case AdminKind::kRevocation: {
      Revocation revocation{in.u32(), {}, entry.time_ms};
      const uint32_t n = in.u32();
      if (n > in.left() / 56) return bad(entry, "isn't canonically encoded");
      for (uint32_t i = 0; i < n; ++i) {
        ChainHead head{in.fixed<16>(), 0, {}};
        head.counter = static_cast<int64_t>(in.u64());
        head.hash = in.fixed<32>();
        revocation.last.push_back(head);
      }
      SLM_CHECK(in.done("a revocation"));
      if (identity(revocation.identity) == nullptr || revocation.identity == 1 ||
          revocations_.contains(revocation.identity))
        return bad(entry, "revokes nobody");
      revocations_[revocation.identity] = std::move(revocation);
      break;
    }
    case AdminKind::kTombstone: {
      const Digest source = in.fixed<32>();
      SLM_CHECK(in.done("a tombstone"));
      tombstones_.emplace(source, entry.seq);
      break;
    }
    default:
      return fail(ErrorCode::kFormatTooNew, fmt::format("admin entry {} is of kind {}, which this program doesn't know",
                                                        entry.seq, static_cast<int>(entry.kind)));
  }
  entries_.push_back(entry);
  hashes_.push_back(entry.hash());
  return {};
}

Status AdminLog::append(AdminKind kind, Bytes payload, const Signer& signer) {
  AdminEntry entry;
  entry.seq = n_entries() + 1;
  if (!hashes_.empty()) entry.prev = hashes_.back();
  entry.kind = kind;
  entry.time_ms = signer.time_ms;
  entry.payload = std::move(payload);
  SLM_TRY(entry.signature, crypto::sign(signer.secret, entry.signed_bytes()));
  return apply(entry);
}

Result<AdminLog> AdminLog::found(const crypto::Identity& admin, const Id16& fleet, bool demo, int64_t time_ms) {
  AdminLog out;
  Bytes payload;
  put_u32(payload, kFormat);
  put_bytes(payload, fleet);
  put_bytes(payload, admin.pub.kem);
  put_bytes(payload, admin.pub.sign);
  payload.push_back(demo ? 1 : 0);
  SLM_CHECK(out.append(AdminKind::kFounded, std::move(payload), {admin.sign_secret.span(), time_ms}));
  return out;
}

Status AdminLog::add_store(const Id16& store, const Signer& signer) {
  return append(AdminKind::kStore, Bytes(store.begin(), store.end()), signer);
}

Result<uint32_t> AdminLog::add_identity(std::string_view role, const crypto::PublicIdentity& pub,
                                        const Signer& signer) {
  const auto known = parse_role(role);
  Bytes payload{known ? static_cast<uint8_t>(*known) : kRecoveryCode};
  put_bytes(payload, pub.kem);
  put_bytes(payload, pub.sign);
  SLM_CHECK(append(AdminKind::kIdentity, std::move(payload), signer));
  return n_entries();
}

Status AdminLog::add_epoch(const EpochRecord& epoch, const Signer& signer) {
  Bytes payload{what_of(epoch.partition)};
  put_u32(payload, epoch.number);
  put_u16(payload, crypto::kKemX25519);
  put_u16(payload, crypto::kKdfHkdfSha256);
  put_u16(payload, static_cast<uint16_t>(epoch.aead));
  put_bytes(payload, epoch.pub);
  put_u32(payload, epoch.maker);
  return append(AdminKind::kEpoch, std::move(payload), signer);
}

Status AdminLog::add_fleet_key(const FleetKeyRecord& key, const Signer& signer) {
  Bytes payload{static_cast<uint8_t>(key.key)};
  put_u32(payload, key.version);
  put_bytes(payload, key.commitment);
  return append(AdminKind::kFleetKey, std::move(payload), signer);
}

Status AdminLog::add_grant(const Grant& grant, const Signer& signer) {
  Bytes payload;
  put_u32(payload, grant.identity);
  put_u32(payload, grant.entry_kinds);
  put_u32(payload, static_cast<uint32_t>(grant.opens.size()));
  for (const KeyName& key : grant.opens) {
    payload.push_back(key.what);
    put_u32(payload, key.version);
  }
  return append(AdminKind::kGrant, std::move(payload), signer);
}

Status AdminLog::add_revocation(const Revocation& revocation, const Signer& signer) {
  Bytes payload;
  put_u32(payload, revocation.identity);
  put_u32(payload, static_cast<uint32_t>(revocation.last.size()));
  for (const ChainHead& head : revocation.last) {
    put_bytes(payload, head.store);
    put_u64(payload, static_cast<uint64_t>(head.counter));
    put_bytes(payload, head.hash);
  }
  return append(AdminKind::kRevocation, std::move(payload), signer);
}

Status AdminLog::add_tombstone(const Digest& source, const Signer& signer) {
  return append(AdminKind::kTombstone, Bytes(source.begin(), source.end()), signer);
}

Status AdminLog::save(Database& log, uint32_t n_saved) const {
  SLM_TRY(Statement stmt,
          log.prepare("INSERT INTO admin(seq, prev, kind, time_ms, payload, signature) VALUES(?, ?, ?, ?, ?, ?)"));
  for (size_t i = n_saved; i < entries_.size(); ++i) {
    const AdminEntry& e = entries_[i];
    stmt.bind(1, int64_t{e.seq}).bind(2, ByteSpan(e.prev)).bind(3, static_cast<int64_t>(e.kind)).bind(4, e.time_ms);
    SLM_CHECK(stmt.bind(5, ByteSpan(e.payload)).bind(6, ByteSpan(e.signature)).run());
  }
  return {};
}

const IdentityRecord* AdminLog::identity(uint32_t seq) const {
  const auto it = identities_.find(seq);
  return it == identities_.end() ? nullptr : &it->second;
}

const IdentityRecord* AdminLog::find(const crypto::PublicIdentity& pub) const {
  for (const auto& [seq, identity] : identities_)
    if (identity.pub == pub) return &identity;
  return nullptr;
}

bool AdminLog::has_store(const Id16& store) const {
  return std::find(stores_.begin(), stores_.end(), store) != stores_.end();
}

const EpochRecord& AdminLog::current_epoch(Partition partition) const {
  return std::prev(epochs_.upper_bound({what_of(partition), UINT32_MAX}))->second;
}
const EpochRecord* AdminLog::epoch(Partition partition, uint32_t number) const {
  const auto it = epochs_.find({what_of(partition), number});
  return it == epochs_.end() ? nullptr : &it->second;
}
const FleetKeyRecord& AdminLog::current_fleet_key(FleetKey key) const {
  return std::prev(fleet_keys_.upper_bound({what_of(key), UINT32_MAX}))->second;
}
const FleetKeyRecord* AdminLog::fleet_key(FleetKey key, uint32_t version) const {
  const auto it = fleet_keys_.find({what_of(key), version});
  return it == fleet_keys_.end() ? nullptr : &it->second;
}

bool AdminLog::continues(const AdminLog& older) const {
  return n_entries() >= older.n_entries() && hash_of(older.n_entries()) == older.hashes_.back();
}

const Revocation* AdminLog::revocation(uint32_t identity) const {
  const auto it = revocations_.find(identity);
  return it == revocations_.end() ? nullptr : &it->second;
}

bool AdminLog::might_sign(uint32_t identity, EntryKind kind) const {
  for (const Grant& grant : grants_)
    if (grant.identity == identity && (grant.entry_kinds & bit_of(kind)) != 0) return true;
  return false;
}
bool AdminLog::may_sign(uint32_t identity, EntryKind kind) const {
  return revocation(identity) == nullptr && might_sign(identity, kind);
}

bool AdminLog::might_open(uint32_t identity, KeyName key) const {
  for (const Grant& grant : grants_)
    if (grant.identity == identity && std::find(grant.opens.begin(), grant.opens.end(), key) != grant.opens.end())
      return true;
  return false;
}
bool AdminLog::may_open(uint32_t identity, KeyName key) const {
  return revocation(identity) == nullptr && might_open(identity, key);
}

std::vector<KeyName> AdminLog::all_keys() const {
  std::vector<KeyName> out;
  for (const auto& [name, record] : epochs_) out.push_back(name);
  for (const auto& [name, record] : fleet_keys_) out.push_back(name);
  return out;
}

}  // namespace slm::store
