#include "store/commit.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "core/log.h"
#include "store/merkle.h"

namespace slm::store {
namespace {

const char* kind_title(EntryKind kind) {
  switch (kind) {
    case EntryKind::kRaw:
      return "raw calls";
    case EntryKind::kCurated:
      return "curated calls";
    case EntryKind::kArtefact:
      return "sealed artefacts";
    case EntryKind::kAct:
      return "the audit trail";
  }
  return "entries of that kind";
}

constexpr int64_t kCheckpointPages = 4096;  // 16 MB of WAL

std::vector<Digest> leaves_of(const Pending& pending) {
  std::vector<Digest> out;
  for (const auto& group : pending.groups) out.insert(out.end(), group.leaves.begin(), group.leaves.end());
  return out;
}

Status save_encapsulations(Database& keys, const Pending& pending) {
  if (pending.groups.empty()) return {};
  SLM_TRY(auto transaction, keys.begin());
  // A batch that is committed again finds its own there.
  SLM_TRY(Statement stmt, keys.prepare("INSERT OR REPLACE INTO encapsulations(grp, partition, enc) VALUES(?, ?, ?)"));
  for (const auto& group : pending.groups)
    SLM_CHECK(stmt.bind(1, ByteSpan(group.group))
                  .bind(2, int64_t{what_of(group.partition)})
                  .bind(3, ByteSpan(group.enc))
                  .run());
  return transaction.commit();
}

Status save_groups(Database& log, const Pending& pending, int64_t n) {
  SLM_TRY(Statement seal,
          log.prepare(
              "INSERT INTO seals(seal, grp, partition, enc_hash, first_leaf, n_frames, refs) VALUES(?,?,?,?,?,?,?)"));
  SLM_TRY(Statement frame, log.prepare("INSERT INTO frames(frame, calls, sealed) VALUES(?, ?, ?)"));
  int64_t key = n << 16, first_leaf = 0;
  for (const auto& group : pending.groups) {
    const Digest enc_hash = sha256(group.enc);
    const auto n_frames = static_cast<int64_t>(group.leaves.size());
    seal.bind(1, key)
        .bind(2, ByteSpan(group.group))
        .bind(3, int64_t{what_of(group.partition)})
        .bind(4, ByteSpan(enc_hash));
    SLM_CHECK(seal.bind(5, first_leaf).bind(6, n_frames).bind(7, ByteSpan(group.refs)).run());
    int64_t row = key << 16;
    for (const Frame& f : group.frames)
      SLM_CHECK(frame.bind(1, row++).bind(2, ByteSpan(f.calls)).bind(3, ByteSpan(f.sealed)).run());
    first_leaf += n_frames;
    ++key;
  }
  return {};
}

}  // namespace

static Status may_write(Session& session, EntryKind kind) {
  if (!session.admin.may_sign(session.self_seq, kind))
    return fail(ErrorCode::kWrongKey,
                fmt::format("this identity ({} {}) isn't granted to write {}", session.self.role,
                            session.self.pub.fingerprint(), kind_title(kind)),
                "slmconv keys list shows who may do what; --identity names another key");
  return {};
}

Result<Entry> new_entry(Session& session, EntryKind kind, Random& random) {
  SLM_CHECK(may_write(session, kind));
  Entry entry;
  entry.store = session.store_id;
  entry.kind = kind;
  random.fill(entry.batch);
  entry.writer = session.self_seq;
  entry.admin_seq = session.admin.n_entries();
  entry.hour = session.now_ms() / 3'600'000;
  entry.facts = "{}";
  entry.root = merkle_root({});
  return entry;
}

void finish_leaves(Pending& pending) {
  const auto leaves = leaves_of(pending);
  pending.entry.n_leaves = static_cast<int64_t>(leaves.size());
  pending.entry.root = merkle_root(leaves);
}

Result<Entry> commit_locked(Session& session, Pending& pending, const FileLock&) {
  // Revoked meanwhile: what it signed now, every reader would refuse.
  SLM_CHECK(session.refresh_admin());
  SLM_CHECK(may_write(session, pending.entry.kind));
  return write_pending(session, pending);
}

Result<Entry> write_pending(Session& session, Pending& pending) {
  SLM_CHECK(save_encapsulations(session.db.keys, pending));
  Entry& entry = pending.entry;
  {
    SLM_TRY(auto transaction, session.db.log.begin());
    SLM_TRY(const Head head, read_head(session.db.log, session.store_id));
    entry.n = head.n + 1;
    if (pending.before) {
      SLM_TRY(entry.n, pending.before(session.db.log, entry.n));
    }
    entry.counter = head.counter + 1;
    entry.prev = head.hash;
    SLM_TRY(entry.signature, crypto::sign(session.self.sign_secret.span(), entry.signed_bytes()));
    SLM_CHECK(insert_entry(session.db.log, entry, leaves_of(pending)));
    SLM_CHECK(save_groups(session.db.log, pending, entry.n));
    if (pending.also) SLM_CHECK(pending.also(session.db.log));
    SLM_CHECK(transaction.commit());
  }
  session.verified[entry.n] = entry.hash();
  // The batch is durable; a checkpoint that fails (no space) is tried again after the next one.
  for (Database* db : {&session.db.log, &session.db.keys})
    if (db->wal_pages() > kCheckpointPages)
      if (auto done = db->checkpoint(false); !done)
        log_warn(fmt::format("checkpoint put off: {}", done.error().message));
  return entry;
}

Result<Entry> commit(Session& session, Pending& pending) {
  SLM_TRY(const FileLock lock, session.lock());
  return commit_locked(session, pending, lock);
}

Result<Pending> prepare_act(Session& session, const Act& act) {
  SLM_TRY(Random* const random, session.sealing_random(as_bytes(act.action)));
  Pending pending;
  SLM_TRY(pending.entry, new_entry(session, EntryKind::kAct, *random));
  Entry& entry = pending.entry;
  const EpochRecord& epoch = session.admin.current_epoch(Partition::kAudit);
  entry.meta_epoch = epoch.number;
  entry.action = act.action;
  entry.facts = canonical_json(act.facts);
  entry.n_calls = act.n_calls;
  Bytes text;
  put_u64(text, static_cast<uint64_t>(session.now_ms()));
  put_field(text, as_bytes(act.details));
  crypto::SecretArray<32> ikm;
  random->fill(ikm.writable());
  SLM_TRY(auto sender, crypto::hpke_sender(epoch.aead, epoch.pub, seal_info(session.admin, epoch), ikm.span()));
  SLM_TRY(const Bytes sealed, sender.context.seal(entry.batch, text));
  put_bytes(entry.details, sender.enc);
  put_bytes(entry.details, sealed);
  return pending;
}

Result<Entry> commit_act(Session& session, const Act& act) {
  SLM_TRY(Pending pending, prepare_act(session, act));
  return commit(session, pending);
}

}  // namespace slm::store
