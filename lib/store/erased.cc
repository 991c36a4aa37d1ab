#include "store/erased.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/keyring.h"

namespace slm::store {
namespace {

constexpr size_t kGroupsAtOnce = 2048;
constexpr int64_t kEntriesAtOnce = 256;

bool names_any(ByteSpan refs, const std::set<Id16>& groups) {
  for (size_t at = 0; at + 16 <= refs.size(); at += 16) {
    Id16 name;
    std::copy_n(refs.begin() + static_cast<std::ptrdiff_t>(at), 16, name.begin());
    if (groups.contains(name)) return true;
  }
  return false;
}

// Rows of entries that lose a group → row of the act that took it, or none yet.
using Rows = std::map<int64_t, int64_t>;

// Which artefacts were made from entries that lose a group, through the reads they name: reads of before it was gone.
class Taint {
 public:
  Taint(Session& session, const Rows& raw, const Rows& curated) : session_(session), raw_(raw), curated_(curated) {}

  Result<bool> artefact(const Entry& entry, ByteSpan refs) {
    for (size_t at = 0; at + 8 <= refs.size(); at += 8) {
      SLM_TRY(const auto read,
              find_entry(session_.db.log, entry.store, static_cast<int64_t>(get_u64(refs.data() + at))));
      if (!read || read->kind != EntryKind::kAct || read->action != "read")
        return fail(ErrorCode::kIntegrity, fmt::format("entry {} names a read that isn't one", entry.n));
      SLM_TRY(const auto facts, parse_json(read->facts));
      if (!facts.is_object()) continue;
      const json::object& f = facts.get_object();
      if (f.contains("artefact")) {
        // Rows of another store's trail mean nothing here.
        const bool here = entry.store == session_.store_id;
        if (!here ? !artefacts_.empty() : artefacts_.contains(get_int(f, "entry").value_or(0))) return mark(entry);
        continue;
      }
      const auto space = get_string(f, "space");
      const Rows* rows = space == "raw" ? &raw_ : space == "curated" ? &curated_ : nullptr;
      if (rows == nullptr || rows->empty()) continue;
      // Another store's rows mean nothing here: any read there may have met it.
      const bool here = entry.store == session_.store_id;
      const int64_t from = here ? get_int(f, "from").value_or(1) : 1;
      const int64_t to = here ? get_int(f, "to").value_or(INT64_MAX) : INT64_MAX;
      for (auto row = rows->lower_bound(from); row != rows->end() && row->first <= to; ++row)
        if (read->n < row->second) return mark(entry);
    }
    return false;
  }

 private:
  bool mark(const Entry& entry) {
    artefacts_.insert(entry.n);
    return true;
  }
  Session& session_;
  const Rows &raw_, &curated_;
  std::set<int64_t> artefacts_;  // rows
};

}  // namespace

bool is_erasure(const Entry& entry) {
  return entry.kind == EntryKind::kAct && (entry.action == "erase" || entry.action == "retention");
}

Result<Erasure> read_erasure(const AdminLog& admin, const Entry& entry) {
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: {}", entry.n, what));
  };
  const auto facts = parse_json(entry.facts);
  if (!facts || !facts->is_object()) return bad("its facts aren't canonical JSON");
  const json::object& f = facts->get_object();
  Erasure out;
  out.retention = entry.action == "retention";
  out.tombstone = static_cast<uint32_t>(get_int(f, "tombstone").value_or(0));
  out.n_raw = get_int(f, "n_raw").value_or(0);
  out.n_curated = get_int(f, "n_curated").value_or(0);
  const IdentityRecord* writer = admin.identity(entry.writer);
  const bool by_admin = entry.writer == 1;
  const bool by_curator = writer != nullptr && writer->role == role_name(Role::kCurator);
  if (!by_admin && (out.retention || !by_curator)) return bad("it erases and isn't the admin's");
  if (!out.retention && std::none_of(admin.tombstones().begin(), admin.tombstones().end(),
                                     [&](const auto& item) { return item.second == out.tombstone; }))
    return bad("it erases without a tombstone");
  const auto* groups = f.if_contains("groups");
  if (groups == nullptr || !groups->is_array()) return bad("it says not what it erases");
  for (const json::value& name : groups->get_array()) {
    const auto bytes = name.is_string() ? from_hex(std::string_view(name.get_string())) : Result<Bytes>(Bytes{});
    if (!bytes || bytes->size() != 16) return bad("it says not what it erases");
    Id16 id;
    std::copy(bytes->begin(), bytes->end(), id.begin());
    out.groups.push_back(id);
  }
  return out;
}

Act erasure_act(const Erasure& erasure) {
  json::array groups;
  for (const Id16& group : erasure.groups) groups.emplace_back(to_hex(group));
  Act act;
  act.action = erasure.retention ? "retention" : "erase";
  act.facts = {{"groups", std::move(groups)}, {"n_curated", erasure.n_curated}, {"n_raw", erasure.n_raw}};
  if (!erasure.retention) act.facts["tombstone"] = erasure.tombstone;
  act.n_calls = erasure.n_raw + erasure.n_curated;
  return act;
}

Result<std::vector<ErasingAct>> read_ahead(const AdminLog& admin, const Entry& merge) {
  std::vector<ErasingAct> out;
  const auto bad = [&] {
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: it names erasures that aren't any", merge.n));
  };
  const auto facts = parse_json(merge.facts);
  if (!facts || !facts->is_object()) return bad();
  const auto* ahead = facts->get_object().if_contains("ahead");
  if (ahead == nullptr) return out;
  if (!ahead->is_array()) return bad();
  for (const json::value& item : ahead->get_array()) {
    if (!item.is_string() || item.get_string().size() > 2 * kMaxAheadBytes) return bad();
    const auto bytes = from_hex(std::string_view(item.get_string()));
    if (!bytes) return bad();
    ErasingAct act;
    SLM_TRY(act.entry, decode_entry(*bytes));
    act.entry.n = act.n = merge.n;
    act.ahead = true;
    if (!is_erasure(act.entry)) return bad();
    SLM_CHECK(check_entry(admin, act.entry));
    SLM_TRY(act.erasure, read_erasure(admin, act.entry));
    out.push_back(std::move(act));
  }
  return out;
}

Status each_erasing_act(Database& log, const AdminLog& admin, std::pair<int64_t, int64_t> rows,
                        const std::function<Status(ErasingAct&&)>& visit) {
  std::vector<int64_t> found;
  {
    SLM_TRY(Statement stmt, log.prepare("SELECT n FROM entries WHERE (action IN ('erase', 'retention') OR "
                                        "(action = 'merge' AND instr(facts, '\"ahead\"') > 0)) "
                                        "AND n BETWEEN ? AND ? ORDER BY n"));
    stmt.bind(1, rows.first).bind(2, rows.second);
    while (true) {
      SLM_TRY(const bool row, stmt.step());
      if (!row) break;
      found.push_back(stmt.integer(0));
    }
  }
  for (const int64_t n : found) {
    SLM_TRY(auto entries, read_entries(log, n, 1));
    if (entries.empty() || entries[0].kind != EntryKind::kAct) continue;
    SLM_CHECK(check_entry(admin, entries[0]));
    if (!is_erasure(entries[0])) {
      SLM_TRY(auto ahead, read_ahead(admin, entries[0]));
      for (ErasingAct& act : ahead) SLM_CHECK(visit(std::move(act)));
      continue;
    }
    SLM_TRY(Erasure erasure, read_erasure(admin, entries[0]));
    SLM_CHECK(visit({n, false, std::move(entries[0]), std::move(erasure)}));
  }
  return {};
}

Status refresh_erased(Session& session) {
  SLM_TRY(const int64_t head, session.db.log.integer("SELECT max(n) FROM entries"));
  if (head == session.erased_upto) return {};
  SLM_CHECK(session.refresh_admin());
  SLM_CHECK(each_erasing_act(session.db.log, session.admin, {session.erased_upto + 1, head}, [&](ErasingAct&& act) {
    for (const Id16& group : act.erasure.groups) {
      // Ahead of its place: whoever reads meanwhile may have met it where it came from.
      const auto [it, fresh] = session.erased.emplace(group, act.ahead ? INT64_MAX : act.n);
      if (!fresh) it->second = std::min(it->second, act.ahead ? INT64_MAX : act.n);
    }
    if (!act.erasure.retention)
      session.erased_of[act.erasure.tombstone].insert(act.erasure.groups.begin(), act.erasure.groups.end());
    return Status();
  }));
  session.erased_upto = head;
  return {};
}

Status delete_frames(Database& log, std::span<const Id16> groups) {
  SLM_TRY(Statement seals,
          log.prepare("SELECT seal FROM seals s JOIN entries e ON e.n = s.seal >> 16 WHERE grp = ? AND "
                      "e.kind IN (1, 2) AND (length(refs) > 0 OR enc_hash <> zeroblob(32))"));
  SLM_TRY(Statement frames, log.prepare("DELETE FROM frames WHERE frame BETWEEN ? AND ?"));
  SLM_TRY(Statement mark, log.prepare("UPDATE seals SET enc_hash = zeroblob(32), refs = x'' WHERE seal = ?"));
  for (const Id16& group : groups) {
    std::vector<int64_t> found;
    seals.bind(1, ByteSpan(group));
    while (true) {
      SLM_TRY(const bool row, seals.step());
      if (!row) break;
      found.push_back(seals.integer(0));
    }
    for (const int64_t seal : found) {
      SLM_CHECK(frames.bind(1, seal << 16).bind(2, (seal << 16) + 0xffff).run());
      SLM_CHECK(mark.bind(1, seal).run());
    }
  }
  return {};
}

bool is_cleared(const SealRow& seal) { return seal.refs.empty() && seal.enc_hash == Digest{}; }

Status delete_encapsulations(Database& keys, std::span<const Id16> groups) {
  SLM_TRY(Statement stmt, keys.prepare("DELETE FROM encapsulations WHERE grp = ?"));
  for (const Id16& group : groups) SLM_CHECK(stmt.bind(1, ByteSpan(group)).run());
  return {};
}

// The calls of a part's groups: by part, so that the sum holds wherever the parts are cut off.
static Status count_calls_of(Session& session, Erasure& part) {
  part.n_raw = part.n_curated = 0;
  SLM_TRY(Statement seals, session.db.log.prepare("SELECT seal, partition FROM seals WHERE grp = ? AND partition IN "
                                                  "(?, ?)"));
  SLM_TRY(Statement frames,
          session.db.log.prepare("SELECT calls FROM frames WHERE frame BETWEEN ? AND ? ORDER BY frame"));
  for (const Id16& group : part.groups) {
    if (session.erased.contains(group)) continue;
    seals.bind(1, ByteSpan(group)).bind(2, int64_t{what_of(Partition::kRawMeta)});
    seals.bind(3, int64_t{what_of(Partition::kCuratedMeta)});
    while (true) {
      SLM_TRY(const bool row, seals.step());
      if (!row) break;
      SLM_TRY(const int64_t n, count_calls(frames, seals.integer(0)));
      (seals.integer(1) == what_of(Partition::kRawMeta) ? part.n_raw : part.n_curated) += n;
    }
  }
  return {};
}

Status commit_erasure(Session& session, AdminRoom* admin, Erasure erasure) {
  const std::vector<Id16> all = std::move(erasure.groups);
  for (size_t at = 0; at < all.size() || at == 0; at += kGroupsAtOnce) {
    const std::span<const Id16> groups = std::span(all).subspan(at, std::min(kGroupsAtOnce, all.size() - at));
    Erasure part = erasure;
    part.groups.assign(groups.begin(), groups.end());
    SLM_CHECK(count_calls_of(session, part));
    if (admin != nullptr) {
      AdminCommit commit;
      commit.act = erasure_act(part);
      commit.also = [&](Database& log) { return delete_frames(log, groups); };
      commit.after = [&](Database& keys) { return delete_encapsulations(keys, groups); };
      SLM_CHECK(commit_admin(*admin, std::move(commit)));
      continue;
    }
    SLM_TRY(Pending pending, prepare_act(session, erasure_act(part)));
    pending.also = [&](Database& log) { return delete_frames(log, groups); };
    SLM_TRY(const FileLock lock, session.lock());
    SLM_CHECK(commit_locked(session, pending, lock));
    SLM_TRY(auto transaction, session.db.keys.begin());
    SLM_CHECK(delete_encapsulations(session.db.keys, groups));
    SLM_CHECK(transaction.commit());
  }
  return {};
}

Result<Dependents> find_dependents(Session& session, const std::set<Id16>& raw_groups) {
  Dependents out;
  SLM_CHECK(refresh_erased(session));
  SLM_TRY(const int64_t head, session.db.log.integer("SELECT max(n) FROM entries"));
  SLM_TRY(Statement frames,
          session.db.log.prepare("SELECT calls FROM frames WHERE frame BETWEEN ? AND ? ORDER BY frame"));
  Rows raw_rows, curated_rows;
  Taint taint(session, raw_rows, curated_rows);
  for (int64_t next = 1; next <= head;) {
    SLM_TRY(const auto entries, read_entries(session.db.log, next, kEntriesAtOnce));
    if (entries.empty()) break;
    for (const Entry& entry : entries) {
      next = entry.n + 1;
      if (entry.kind == EntryKind::kAct || entry.n > head) continue;
      SLM_TRY(const auto seals, read_seals(session.db.log, entry.n));
      for (const SealRow& seal : seals) {
        const auto erased = session.erased.find(seal.group);
        const bool gone = erased != session.erased.end();
        const auto note = [&](Rows& rows) {
          int64_t& at = rows[entry.n];
          at = std::max(at, gone ? erased->second : INT64_MAX);
        };
        if (seal.partition == Partition::kRawMeta && raw_groups.contains(seal.group)) {
          note(raw_rows);
          if (gone) continue;
          SLM_TRY(const int64_t n, count_calls(frames, seal.seal));
          out.n_raw += n;
        } else if (seal.partition == Partition::kCuratedMeta &&
                   (names_any(seal.refs, raw_groups) || raw_groups.contains(seal.group))) {
          note(curated_rows);
          if (gone) continue;
          out.curated.push_back(seal.group);
          SLM_TRY(const int64_t n, count_calls(frames, seal.seal));
          out.n_curated += n;
        } else if (entry.kind == EntryKind::kArtefact) {
          SLM_TRY(const bool used, taint.artefact(entry, seal.refs));
          if (!used || gone) continue;
          SLM_TRY(const auto facts, parse_json(entry.facts));
          const std::string name(facts.is_object() ? get_string(facts.get_object(), "name") : "");
          // Weights are no text, and finetuning again is its owner's decision.
          if (name.starts_with("finetune/")) {
            out.adapters.push_back(name);
          } else {
            out.artefacts.push_back(seal.group);
            out.artefact_names.push_back(name);
          }
        }
      }
    }
  }
  for (auto* names : {&out.artefact_names, &out.adapters}) {
    std::sort(names->begin(), names->end());
    names->erase(std::unique(names->begin(), names->end()), names->end());
  }
  return out;
}

Result<int64_t> count_calls(Statement& frames, int64_t seal) {
  frames.bind(1, seal << 16).bind(2, (seal << 16) + 0xffff);
  int64_t n = 0;
  bool open = false;
  while (true) {
    SLM_TRY(const bool row, frames.step());
    if (!row) return n;
    SLM_TRY(const auto slices, decode_slices(frames.blob(0)));
    for (const Slice& slice : slices) {
      n += !open && (slice.flags & Slice::kHeader) == 0;
      open = (slice.flags & Slice::kMore) != 0;
    }
  }
}

Result<int64_t> finish_erasures(Session& session) {
  int64_t n = 0;
  std::vector<Id16> all;
  for (const auto& [group, row] : session.erased) all.push_back(group);
  for (size_t at = 0; at < all.size(); at += kGroupsAtOnce) {
    const std::span<const Id16> groups = std::span(all).subspan(at, std::min(kGroupsAtOnce, all.size() - at));
    SLM_TRY(const FileLock lock, session.lock());
    const auto changes = [](Database& db) { return db.integer("SELECT total_changes()"); };
    for (Database* db : {&session.db.log, &session.db.keys}) {
      SLM_TRY(const int64_t before, changes(*db));
      SLM_TRY(auto transaction, db->begin());
      SLM_CHECK(db == &session.db.log ? delete_frames(*db, groups) : delete_encapsulations(*db, groups));
      SLM_CHECK(transaction.commit());
      SLM_TRY(const int64_t after, changes(*db));
      n += after - before;
    }
  }
  return n;
}

Result<int64_t> remove_orphans(Session& session) {
  int64_t n = 0;
  Bytes last;
  int64_t last_partition = 0;
  while (true) {
    // Under the lock no batch lies between its two commits.
    SLM_TRY(const FileLock lock, session.lock());
    SLM_TRY(Statement next,
            session.db.keys.prepare("SELECT grp, partition FROM encapsulations WHERE (grp, partition) > "
                                    "(?, ?) ORDER BY grp, partition LIMIT 4096"));
    SLM_TRY(Statement seal, session.db.log.prepare("SELECT 1 FROM seals WHERE grp = ? AND partition = ?"));
    std::vector<std::pair<Bytes, int64_t>> orphans;
    next.bind(1, ByteSpan(last)).bind(2, last_partition);
    int64_t n_rows = 0;
    Bytes at;
    int64_t at_partition = 0;
    while (true) {
      SLM_TRY(const bool row, next.step());
      if (!row) break;
      ++n_rows;
      const ByteSpan group = next.blob(0);
      at.assign(group.begin(), group.end());
      at_partition = next.integer(1);
      SLM_TRY(const bool known, seal.bind(1, ByteSpan(at)).bind(2, at_partition).step());
      seal.reset();
      if (!known) orphans.emplace_back(at, at_partition);
    }
    if (n_rows == 0) break;
    last = at;
    last_partition = at_partition;
    if (orphans.empty()) continue;
    SLM_TRY(auto transaction, session.db.keys.begin());
    SLM_TRY(Statement gone, session.db.keys.prepare("DELETE FROM encapsulations WHERE grp = ? AND partition = ?"));
    for (const auto& [group, partition] : orphans) SLM_CHECK(gone.bind(1, ByteSpan(group)).bind(2, partition).run());
    SLM_CHECK(transaction.commit());
    n += static_cast<int64_t>(orphans.size());
  }
  SLM_TRY(const FileLock lock, session.lock());
  SLM_CHECK(session.refresh_admin());
  SLM_TRY(const auto wraps, load_wraps(session.db.keys));
  for (const Wrap& wrap : wraps) {
    if (!is_ahead(session.admin, wrap)) continue;
    SLM_CHECK(delete_wrap(session.db.keys, wrap.key, wrap.recipient));
    ++n;
  }
  return n;
}

Status erase_rest(Session& session) {
  SLM_CHECK(refresh_erased(session));
  const auto found = std::exchange(session.found, {});
  auto wanted = session.erased_of;
  for (const auto& [tombstone, groups] : found) wanted[tombstone].insert(groups.begin(), groups.end());
  bool any = false;
  for (const auto& [tombstone, groups] : wanted) {
    SLM_TRY(const Dependents gone, find_dependents(session, groups));
    Erasure erasure{false, tombstone, {}};
    for (const Id16& group : groups)
      if (!session.erased.contains(group)) erasure.groups.push_back(group);
    erasure.groups.insert(erasure.groups.end(), gone.curated.begin(), gone.curated.end());
    erasure.groups.insert(erasure.groups.end(), gone.artefacts.begin(), gone.artefacts.end());
    if (erasure.groups.empty()) continue;
    any = true;
    SLM_CHECK(commit_erasure(session, nullptr, std::move(erasure)));
  }
  if (!any) return {};
  SLM_TRY(const FileLock lock, session.lock());
  SLM_CHECK(session.db.log.checkpoint(true));
  return session.db.keys.checkpoint(true);
}

}  // namespace slm::store
