// Bringing another store of the fleet in, unopened: see merge_store() in manage.h.
//
// The other store's files may mean harm. They are opened read only, in a snapshot, with a schema that must be exactly
// ours, bounds on the size of every cell, and are verified as a whole before anything is taken; what is taken is read
// from the same snapshot. Nothing of them is attached or run.
#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"
#include "store/bundle.h"
#include "store/collector_files.h"
#include "store/erased.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/verify.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kEntriesAtOnce = 64;
constexpr int64_t kBytesAtOnce = 32 << 20;
constexpr size_t kMaxSealedFrame = (256 << 10) + 4096, kMaxText = 1 << 20;
constexpr size_t kAheadAtOnce = 512 << 10;  // characters in one act

// Entries of one step, with all that lies under them.
struct Chunk {
  struct Item {
    Entry entry;
    std::vector<Digest> leaves;
    std::vector<SealRow> seals;
    std::vector<std::pair<int64_t, Frame>> frames;  // by frame number in the other store
  };
  std::vector<Item> items;
  struct Enc {
    Id16 group{};
    int64_t partition = 0;
    Bytes enc;
  };
  std::vector<Enc> encs;
  int64_t bytes = 0, n_calls = 0;
};

class Merger {
 public:
  Merger(Session& session, Databases& other, MergeResult& out) : session_(session), other_(other), out_(out) {}

  // Which of the other's chains go on where ours end.
  Status compare(const std::map<Id16, ChainHead>& theirs) {
    for (const auto& [store, head] : theirs) {
      SLM_TRY(const Head ours, read_head(session_.db.log, store));
      next_[store] = ours.counter + 1;
      if (store == session_.store_id && head.counter > ours.counter)
        return fail(
            ErrorCode::kIntegrity,
            fmt::format("the other store knows entry {} of this one, which ends at {}: this one was rolled back",
                        head.counter, ours.counter));
      const int64_t common = std::min(ours.counter, head.counter);
      if (common < 1) continue;
      SLM_TRY(const auto mine, find_entry(session_.db.log, store, common));
      SLM_TRY(const auto other, find_entry(other_.log, store, common));
      if (!mine || !other || mine->hash() != other->hash())
        return fail(ErrorCode::kIntegrity,
                    fmt::format("entry {} of store {} isn't the same here and there", common, to_hex(store)));
    }
    return {};
  }

  Status run(int64_t n_last) {
    SLM_CHECK(refresh_erased(session_));
    SLM_CHECK(check_all(n_last));
    SLM_CHECK(read_erased_there(n_last));
    Chunk chunk;
    for (int64_t next = 1; next <= n_last;) {
      SLM_TRY(auto entries, read_entries(other_.log, next, kEntriesAtOnce));
      if (entries.empty()) return fail(ErrorCode::kIntegrity, "the other store's trail has a gap");
      for (Entry& entry : entries) {
        next = entry.n + 1;
        if (entry.n > n_last || entry.counter < next_[entry.store]) continue;
        if (interrupted())
          return fail(ErrorCode::kInterrupted,
                      fmt::format("interrupted; {} entries were merged and stay", out_.n_entries),
                      "give the same command again: what is here is passed over");
        SLM_CHECK(read(std::move(entry), chunk));
        if (chunk.bytes >= kBytesAtOnce || static_cast<int64_t>(chunk.items.size()) >= 4 * kEntriesAtOnce)
          SLM_CHECK(commit_chunk(chunk));
      }
    }
    if (!chunk.items.empty()) SLM_CHECK(commit_chunk(chunk));
    return {};
  }

 private:
  // What is new by what the admin's log says here, which may know more: a writer revoked since, say.
  Status check_all(int64_t n_last) {
    for (int64_t next = 1; next <= n_last;) {
      SLM_TRY(const auto entries, read_entries(other_.log, next, kEntriesAtOnce));
      if (entries.empty()) return fail(ErrorCode::kIntegrity, "the other store's trail has a gap");
      for (const Entry& entry : entries) {
        next = entry.n + 1;
        if (entry.n <= n_last && entry.counter >= next_[entry.store]) SLM_CHECK(check_entry(session_.admin, entry));
      }
    }
    return {};
  }

  // What was erased there is cleared in rows that may come here steps before the act that erased it.
  Status read_erased_there(int64_t n_last) {
    return each_erasing_act(other_.log, session_.admin, {1, n_last}, [&](ErasingAct&& act) -> Status {
      Bytes encoded = encode_entry(act.entry);
      if (encoded.size() > kMaxAheadBytes)
        return fail(ErrorCode::kIntegrity, fmt::format("entry {} of the other store is too large", act.n));
      for (const Id16& group : act.erasure.groups) erased_there_.try_emplace(group, acts_there_.size());
      acts_there_.push_back({act.n, std::move(encoded)});
      return {};
    });
  }

  // Acts that a later step brings and that took groups of this one.
  Result<std::set<size_t>> acts_ahead(const Chunk& chunk) {
    std::set<size_t> out;
    SLM_CHECK(refresh_erased(session_));
    for (const Chunk::Item& item : chunk.items)
      for (const SealRow& seal : item.seals) {
        const auto act = erased_there_.find(seal.group);
        if (act == erased_there_.end() || session_.erased.contains(seal.group)) continue;
        if (acts_there_[act->second].first > chunk.items.back().entry.n) out.insert(act->second);
      }
    return out;
  }

  Status read(Entry entry, Chunk& chunk) {
    if (entry.facts.size() > kMaxText || entry.details.size() > kMaxText || entry.action.size() > 64)
      return fail(ErrorCode::kIntegrity, fmt::format("entry {} of the other store is too large", entry.n));
    Chunk::Item item;
    SLM_TRY(item.leaves, read_leaves(other_.log, entry));
    SLM_TRY(item.seals, read_seals(other_.log, entry.n));
    SLM_TRY(Statement frames,
            other_.log.prepare("SELECT frame, calls, sealed FROM frames WHERE frame BETWEEN ? AND ? ORDER BY frame"));
    SLM_TRY(Statement enc, other_.keys.prepare("SELECT enc FROM encapsulations WHERE grp = ? AND partition = ?"));
    SLM_TRY(Statement known, session_.db.log.prepare("SELECT 1 FROM seals WHERE grp = ?"));
    for (SealRow& seal : item.seals) {
      SLM_TRY(const bool twice, known.bind(1, ByteSpan(seal.group)).step());
      known.reset();
      if (twice)
        return fail(ErrorCode::kIntegrity,
                    fmt::format("entry {} of the other store has a group that is here already", entry.n));
      // What was erased here doesn't come back, nor what is left over there.
      const bool erased_here = session_.erased.contains(seal.group);
      if (erased_here || erased_there_.contains(seal.group)) {
        out_.n_refused += erased_here && !is_cleared(seal) &&
                          (seal.partition == Partition::kRawMeta || seal.partition == Partition::kCuratedMeta);
        if (entry.kind != EntryKind::kArtefact) {
          seal.enc_hash = {};
          seal.refs.clear();
        }
        continue;
      }
      SLM_TRY(const bool has_enc, enc.bind(1, ByteSpan(seal.group)).bind(2, int64_t{what_of(seal.partition)}).step());
      if (!has_enc) continue;  // erased there: verified
      SLM_TRY(const auto bytes, enc.fixed<32>(0, "an encapsulation"));
      enc.reset();
      if (sha256(bytes) != seal.enc_hash)
        return fail(ErrorCode::kIntegrity, fmt::format("entry {}: an encapsulation was changed", entry.n));
      chunk.encs.push_back({seal.group, int64_t{what_of(seal.partition)}, Bytes(bytes.begin(), bytes.end())});
      frames.bind(1, seal.seal << 16).bind(2, (seal.seal << 16) + 0xffff);
      while (true) {
        SLM_TRY(const bool row, frames.step());
        if (!row) break;
        const ByteSpan calls = frames.blob(1), sealed = frames.blob(2);
        if (sealed.size() > kMaxSealedFrame)
          return fail(ErrorCode::kIntegrity, fmt::format("entry {}: a frame is too large", entry.n));
        item.frames.push_back(
            {frames.integer(0), {Bytes(calls.begin(), calls.end()), Bytes(sealed.begin(), sealed.end())}});
        chunk.bytes += static_cast<int64_t>(calls.size() + sealed.size());
      }
    }
    chunk.bytes += static_cast<int64_t>(item.leaves.size() * sizeof(Digest));
    if (entry.kind == EntryKind::kRaw) chunk.n_calls += entry.n_calls;
    item.entry = std::move(entry);
    chunk.items.push_back(std::move(item));
    return {};
  }

  static Status insert_item(Database& log, const Chunk::Item& item, int64_t n) {
    Entry entry = item.entry;
    entry.n = n;
    SLM_CHECK(insert_entry(log, entry, item.leaves));
    SLM_TRY(Statement seal, log.prepare("INSERT INTO seals(seal, grp, partition, enc_hash, first_leaf, n_frames, refs) "
                                        "VALUES(?,?,?,?,?,?,?)"));
    for (const SealRow& row : item.seals) {
      seal.bind(1, (n << 16) | (row.seal & 0xffff)).bind(2, ByteSpan(row.group));
      seal.bind(3, int64_t{what_of(row.partition)}).bind(4, ByteSpan(row.enc_hash)).bind(5, row.first_leaf);
      SLM_CHECK(seal.bind(6, row.n_frames).bind(7, ByteSpan(row.refs)).run());
    }
    SLM_TRY(Statement frame, log.prepare("INSERT INTO frames(frame, calls, sealed) VALUES(?, ?, ?)"));
    for (const auto& [number, f] : item.frames)
      SLM_CHECK(frame.bind(1, (n << 32) | (number & 0xffffffff))
                    .bind(2, ByteSpan(f.calls))
                    .bind(3, ByteSpan(f.sealed))
                    .run());
    return {};
  }

  Status commit_chunk(Chunk& chunk) {
    std::map<Id16, std::pair<int64_t, const Entry*>> chains;  // first counter, last entry
    for (const Chunk::Item& item : chunk.items) {
      auto& chain = chains.try_emplace(item.entry.store, item.entry.counter, nullptr).first->second;
      chain.second = &item.entry;
    }
    json::array names;
    for (const auto& [store, chain] : chains)
      names.push_back(json::object{{"from", chain.first},
                                   {"head", to_hex(chain.second->hash())},
                                   {"store", to_hex(store)},
                                   {"to", chain.second->counter}});
    // So that what is here holds by itself wherever the merge is cut off, such acts are named ahead of their place.
    SLM_TRY(const auto acts, acts_ahead(chunk));
    json::array ahead;
    size_t n_chars = 0;
    for (const size_t act : acts) {
      const std::string text = to_hex(acts_there_[act].second);
      if (n_chars > 0 && n_chars + text.size() > kAheadAtOnce) {
        SLM_CHECK(commit_act(session_, {"merge", {{"ahead", std::move(ahead)}, {"chains", json::array()}}, "", 0}));
        ahead = {};
        n_chars = 0;
      }
      n_chars += text.size();
      ahead.emplace_back(text);
    }
    json::object facts{{"chains", std::move(names)}};
    if (!ahead.empty()) facts["ahead"] = std::move(ahead);
    SLM_TRY(Pending pending, prepare_act(session_, {"merge", std::move(facts), "", chunk.n_calls}));
    pending.before = [&](Database& log, int64_t n) -> Result<int64_t> {
      for (const Chunk::Item& item : chunk.items) SLM_CHECK(insert_item(log, item, n++));
      return n;
    };
    SLM_TRY(const FileLock lock, session_.lock());
    for (const auto& [store, chain] : chains) {
      SLM_TRY(const Head ours, read_head(session_.db.log, store));
      if (ours.counter + 1 != chain.first)
        return fail(ErrorCode::kLocked, "another merge of this store ran at the same moment", "run the command again");
    }
    {
      SLM_TRY(auto transaction, session_.db.keys.begin());
      SLM_TRY(Statement add,
              session_.db.keys.prepare("INSERT OR REPLACE INTO encapsulations(grp, partition, enc) VALUES(?, ?, ?)"));
      for (const Chunk::Enc& e : chunk.encs)
        SLM_CHECK(add.bind(1, ByteSpan(e.group)).bind(2, e.partition).bind(3, ByteSpan(e.enc)).run());
      SLM_CHECK(transaction.commit());
    }
    SLM_CHECK(commit_locked(session_, pending, lock));
    out_.n_entries += static_cast<int64_t>(chunk.items.size());
    out_.n_calls += chunk.n_calls;
    for (const auto& [store, chain] : chains) next_[store] = chain.second->counter + 1;
    chunk = {};
    return {};
  }

  Session& session_;
  Databases& other_;
  MergeResult& out_;
  std::map<Id16, int64_t> next_;                       // counter that comes next, by store
  std::vector<std::pair<int64_t, Bytes>> acts_there_;  // that erase: row there, encoded
  std::map<Id16, size_t> erased_there_;                // group → the first of them that took it
};

}  // namespace

Result<MergeResult> merge_store(const fs::path& dir, const fs::path& other_dir, const KeyOptions& options) {
  MergeResult out;
  static constexpr Role kAnyOf[] = {Role::kCurator, Role::kAdmin, Role::kCollector};
  SLM_TRY(Session session, open_session_any(dir, options, kAnyOf));
  std::error_code ec;
  if (fs::equivalent(dir, other_dir, ec)) return fail(ErrorCode::kUsage, "a store isn't merged into itself");
  SLM_TRY(Databases other, open_foreign_databases(other_dir));
  SLM_TRY(const AdminLog theirs, AdminLog::load(other.log));
  SLM_CHECK(check_same_fleet(session.admin, theirs, other_dir.string()));
  SLM_TRY(const Checked checked, verify_databases(other_dir, other, theirs, {.artefacts = false}));
  out.store_id = to_hex(checked.store);
  out.n_spools = static_cast<int64_t>(waiting_spools(other_dir).size());
  SLM_TRY(const auto wraps, load_wraps(other.keys));
  SLM_TRY(out.admin_updated, adopt_admin(session, theirs, wraps));

  Merger merger(session, other, out);
  SLM_CHECK(merger.compare(checked.chains));
  SLM_CHECK(merger.run(checked.report.n_batches));
  // Erasures that came along hold here too.
  SLM_CHECK(refresh_erased(session));
  SLM_TRY(const int64_t finished, finish_erasures(session));
  out.n_erased_rows = finished;
  return out;
}

}  // namespace slm::store
