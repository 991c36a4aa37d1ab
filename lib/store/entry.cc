#include "store/entry.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "store/merkle.h"

namespace slm::store {
namespace {

constexpr std::string_view kSignedLabel = "slmconv entry 1";
constexpr std::string_view kColumns =
    "n, store, counter, prev, kind, batch, writer, admin_seq, schema, hour, meta_epoch, body_epoch, n_calls, n_leaves, "
    "root, "
    "action, facts, details, signature";

Result<Entry> read_entry(const Statement& row) {
  Entry e;
  e.n = row.integer(0);
  SLM_TRY(e.store, row.fixed<16>(1, "a store id"));
  e.counter = row.integer(2);
  SLM_TRY(e.prev, row.fixed<32>(3, "an entry's link"));
  const int64_t kind = row.integer(4);
  SLM_TRY(e.batch, row.fixed<16>(5, "a batch id"));
  // Numbers are signed as 32 bits: a wider one in a cell is no canonical encoding.
  const int64_t narrow[] = {row.integer(6), row.integer(7), row.integer(8), row.integer(10), row.integer(11)};
  for (const int64_t v : narrow)
    if (v < 0 || v > UINT32_MAX)
      return fail(ErrorCode::kIntegrity, fmt::format("entry {}: a number is out of range", e.n));
  if (kind < 1 || kind > 255) return fail(ErrorCode::kIntegrity, fmt::format("entry {} is of kind {}", e.n, kind));
  e.kind = static_cast<EntryKind>(kind);
  e.writer = static_cast<uint32_t>(narrow[0]);
  e.admin_seq = static_cast<uint32_t>(narrow[1]);
  e.schema = static_cast<uint32_t>(narrow[2]);
  e.hour = row.integer(9);
  e.meta_epoch = static_cast<uint32_t>(narrow[3]);
  e.body_epoch = static_cast<uint32_t>(narrow[4]);
  e.n_calls = row.integer(12);
  e.n_leaves = row.integer(13);
  SLM_TRY(e.root, row.fixed<32>(14, "a root"));
  e.action = row.text(15);
  e.facts = row.text(16);
  const ByteSpan details = row.blob(17);
  e.details.assign(details.begin(), details.end());
  SLM_TRY(e.signature, row.fixed<64>(18, "an entry's signature"));
  return e;
}

}  // namespace

Bytes Entry::signed_bytes() const {
  Bytes out = labelled(kSignedLabel);
  put_bytes(out, store);
  put_u64(out, static_cast<uint64_t>(counter));
  put_bytes(out, prev);
  out.push_back(static_cast<uint8_t>(kind));
  put_bytes(out, batch);
  put_u32(out, writer);
  put_u32(out, admin_seq);
  put_u32(out, schema);
  put_u64(out, static_cast<uint64_t>(hour));
  put_u32(out, meta_epoch);
  put_u32(out, body_epoch);
  put_u64(out, static_cast<uint64_t>(n_calls));
  put_u64(out, static_cast<uint64_t>(n_leaves));
  put_bytes(out, root);
  put_field(out, as_bytes(action));
  put_field(out, as_bytes(facts));
  put_field(out, details);
  return out;
}

Bytes encode_entry(const Entry& entry) {
  Bytes out = entry.signed_bytes();
  put_bytes(out, entry.signature);
  return out;
}

Digest Entry::hash() const { return sha256(encode_entry(*this)); }

Result<Entry> decode_entry(ByteSpan bytes) {
  if (!as_text(bytes).starts_with(kSignedLabel)) return fail(ErrorCode::kIntegrity, "this isn't an encoded entry");
  Cursor in(bytes.subspan(kSignedLabel.size()));
  Entry e;
  e.store = in.fixed<16>();
  e.counter = static_cast<int64_t>(in.u64());
  e.prev = in.fixed<32>();
  e.kind = static_cast<EntryKind>(in.u8());
  e.batch = in.fixed<16>();
  e.writer = in.u32();
  e.admin_seq = in.u32();
  e.schema = in.u32();
  e.hour = static_cast<int64_t>(in.u64());
  e.meta_epoch = in.u32();
  e.body_epoch = in.u32();
  e.n_calls = static_cast<int64_t>(in.u64());
  e.n_leaves = static_cast<int64_t>(in.u64());
  e.root = in.fixed<32>();
  e.action = as_text(in.field());
  e.facts = as_text(in.field());
  const ByteSpan details = in.field();
  e.details.assign(details.begin(), details.end());
  e.signature = in.fixed<64>();
  SLM_CHECK(in.done("an entry"));
  return e;
}

Status insert_entry(Database& log, const Entry& e, std::span<const Digest> leaves) {
  SLM_TRY(Statement stmt,
          log.prepare(fmt::format("INSERT INTO entries({}, leaves) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                                  kColumns)));
  stmt.bind(1, e.n).bind(2, ByteSpan(e.store)).bind(3, e.counter).bind(4, ByteSpan(e.prev));
  stmt.bind(5, static_cast<int64_t>(e.kind))
      .bind(6, ByteSpan(e.batch))
      .bind(7, int64_t{e.writer})
      .bind(8, int64_t{e.admin_seq});
  stmt.bind(9, int64_t{e.schema}).bind(10, e.hour).bind(11, int64_t{e.meta_epoch}).bind(12, int64_t{e.body_epoch});
  stmt.bind(13, e.n_calls).bind(14, e.n_leaves).bind(15, ByteSpan(e.root)).bind(16, std::string_view(e.action));
  stmt.bind(17, std::string_view(e.facts)).bind(18, ByteSpan(e.details)).bind(19, ByteSpan(e.signature));
  static_assert(sizeof(Digest) == 32);
  return stmt.bind(20, ByteSpan(reinterpret_cast<const uint8_t*>(leaves.data()), leaves.size_bytes())).run();
}

Result<std::vector<Entry>> read_entries(Database& log, int64_t from, int64_t limit) {
  SLM_TRY(Statement stmt, log.prepare(fmt::format("SELECT {} FROM entries WHERE n >= ? ORDER BY n LIMIT ?", kColumns)));
  stmt.bind(1, from).bind(2, limit);
  std::vector<Entry> out;
  while (true) {
    SLM_TRY(const bool row, stmt.step());
    if (!row) return out;
    SLM_TRY(Entry entry, read_entry(stmt));
    out.push_back(std::move(entry));
  }
}

Result<std::vector<Digest>> read_leaves(Database& log, const Entry& entry) {
  SLM_TRY(Statement stmt, log.prepare("SELECT leaves FROM entries WHERE n = ?"));
  SLM_TRY(const bool row, stmt.bind(1, entry.n).step());
  const ByteSpan bytes = row ? stmt.blob(0) : ByteSpan{};
  if (!row || bytes.size() != static_cast<uint64_t>(entry.n_leaves) * sizeof(Digest))
    return fail(ErrorCode::kIntegrity, fmt::format("entry {} lacks its leaves", entry.n));
  std::vector<Digest> out(static_cast<size_t>(entry.n_leaves));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t*>(out.data()));
  if (merkle_root(out) != entry.root)
    return fail(ErrorCode::kIntegrity,
                fmt::format("entry {}: its leaves don't have the root that was signed", entry.n));
  return out;
}

Result<Head> read_head(Database& log, const Id16& store) {
  Head out;
  SLM_TRY(out.n, log.integer("SELECT max(n) FROM entries"));
  SLM_TRY(Statement stmt,
          log.prepare(fmt::format("SELECT {} FROM entries WHERE store = ? ORDER BY counter DESC LIMIT 1", kColumns)));
  SLM_TRY(const bool row, stmt.bind(1, ByteSpan(store)).step());
  if (!row) return out;
  SLM_TRY(const Entry entry, read_entry(stmt));
  out.counter = entry.counter;
  out.hash = entry.hash();
  return out;
}

Result<std::optional<Entry>> find_entry(Database& log, const Id16& store, int64_t counter) {
  SLM_TRY(Statement stmt, log.prepare(fmt::format("SELECT {} FROM entries WHERE store = ? AND counter = ?", kColumns)));
  SLM_TRY(const bool row, stmt.bind(1, ByteSpan(store)).bind(2, counter).step());
  if (!row) return std::optional<Entry>{};
  SLM_TRY(Entry entry, read_entry(stmt));
  return std::optional<Entry>(std::move(entry));
}

namespace {

// The partitions whose epochs an entry names.
std::pair<Partition, Partition> partitions_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::kRaw:
      return {Partition::kRawMeta, Partition::kRawBody};
    case EntryKind::kCurated:
      return {Partition::kCuratedMeta, Partition::kCuratedBody};
    case EntryKind::kArtefact:
      return {Partition::kCuratedMeta, Partition::kCuratedBody};
    case EntryKind::kAct:
      break;
  }
  return {Partition::kAudit, Partition::kAudit};
}

// A writer seals to the newest epoch that it knows, never to an older one, nor to one signed later.
Status check_epochs(const AdminLog& admin, const Entry& entry) {
  const auto [meta, body] = partitions_of(entry.kind);
  const std::pair<Partition, uint32_t> named[] = {{meta, entry.meta_epoch}, {body, entry.body_epoch}};
  for (const auto& [partition, number] : named) {
    if (number == 0) continue;  // seals nothing to it
    const EpochRecord* epoch = admin.epoch(partition, number);
    const EpochRecord* next = admin.epoch(partition, number + 1);
    const auto title = key_title({what_of(partition), number});
    if (epoch == nullptr || epoch->seq > entry.admin_seq)
      return fail(ErrorCode::kIntegrity,
                  fmt::format("entry {} names {}, which the admin hadn't signed then", entry.n, title));
    if (next != nullptr && next->seq <= entry.admin_seq)
      return fail(ErrorCode::kIntegrity,
                  fmt::format("entry {} is sealed to {}, which its writer knew to be replaced", entry.n, title));
  }
  return {};
}

}  // namespace

Status check_entry(const AdminLog& admin, const Entry& entry) {
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kIntegrity, fmt::format("entry {} {}", entry.n, what));
  };
  const IdentityRecord* writer = admin.identity(entry.writer);
  if (writer == nullptr || !crypto::verify(writer->pub.sign, entry.signed_bytes(), entry.signature))
    return bad("isn't signed by its writer");
  if (!admin.might_sign(entry.writer, entry.kind))
    return bad(fmt::format("was written by {} {}, who isn't granted that", writer->role, writer->pub.fingerprint()));
  if (entry.admin_seq > admin.n_entries())
    return bad(fmt::format("knows admin entry {}, which is missing", entry.admin_seq));
  if (const Revocation* revoked = admin.revocation(entry.writer)) {
    const auto last = std::find_if(revoked->last.begin(), revoked->last.end(),
                                   [&](const ChainHead& head) { return head.store == entry.store; });
    if (last == revoked->last.end() || entry.counter > last->counter ||
        (entry.counter == last->counter && entry.hash() != last->hash))
      return bad(fmt::format("was written by {} {} after it was revoked", writer->role, writer->pub.fingerprint()));
  }
  SLM_CHECK(check_epochs(admin, entry));
  if (!admin.has_store(entry.store)) return bad("comes from a store that isn't of this fleet");
  return {};
}

Status Chains::follow(const Entry& next, int64_t expect_n) {
  const auto it = heads_.find(next.store);
  const bool known = it != heads_.end();
  if (next.n != expect_n || next.counter < 1 || (known && next.counter != it->second.counter + 1) ||
      (!known && from_start_ && next.counter != 1))
    return fail(ErrorCode::kIntegrity, fmt::format("entry {} is missing from the trail", expect_n));
  if ((known && next.prev != it->second.hash) || (next.counter == 1 && next.prev != Digest{}))
    return fail(ErrorCode::kIntegrity,
                fmt::format("entry {} doesn't follow the one before it: the trail was changed", next.n));
  heads_[next.store] = {next.store, next.counter, next.hash()};
  return {};
}

}  // namespace slm::store
