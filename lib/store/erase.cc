// Erasing a source, and keeping for a time only: see erase_source(), retain_store() and compact_store() in manage.h.
#include <fmt/format.h>

#include <algorithm>

#include "core/file.h"
#include "crypto/kdf.h"
#include "store/collector_files.h"
#include "store/erased.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/reader.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kEntriesAtOnce = 256;
constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kMaxIdleHours = 366 * 24;  // a trail without an entry for longer speaks of a wrong clock

// Calls `each` for entries of one kind, in storage order, with their groups.
Status each_entry(Session& session, EntryKind kind,
                  const std::function<Status(const Entry&, const std::vector<SealRow>&)>& each) {
  SLM_TRY(const int64_t head, session.db.log.integer("SELECT max(n) FROM entries"));
  for (int64_t next = 1; next <= head;) {
    SLM_TRY(const auto entries, read_entries(session.db.log, next, kEntriesAtOnce));
    if (entries.empty()) return {};
    for (const Entry& entry : entries) {
      if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted while reading the store");
      next = entry.n + 1;
      if (entry.kind != kind || entry.n > head) continue;
      SLM_CHECK(session.check(entry));
      SLM_TRY(const auto seals, read_seals(session.db.log, entry.n));
      SLM_CHECK(each(entry, seals));
    }
  }
  return {};
}

struct Found {
  Digest source{};
  bool known = false;  // the source is known: by its own name, or by a pseudonym that some group has
  std::set<Id16> groups;
};

// The raw groups of a source: read from their headers, which only a curator can open here.
Result<Found> find_groups(Session& curator, const std::string& source) {
  Found out;
  const bool is_pseudonym = source.starts_with("src_");
  if (!is_pseudonym) {
    SLM_TRY(const ByteSpan key, curator.current_fleet_secret(FleetKey::kSource));
    out.source = crypto::hmac_sha256(key, {as_bytes(source)});
    out.known = true;
  }
  SLM_TRY(const int64_t head, curator.db.log.integer("SELECT max(n) FROM entries"));
  Act act;
  act.action = "read";
  act.facts = {{"body", false}, {"chosen", false}, {"from", 1}, {"space", "raw"}, {"to", head}};
  act.details = "erase: group headers";
  SLM_CHECK(curator.secret({what_of(Partition::kRawMeta), curator.admin.current_epoch(Partition::kRawMeta).number}));
  SLM_CHECK(commit_act(curator, act));
  SLM_CHECK(refresh_erased(curator));
  // By pseudonym there are two rounds: its groups tell the source, which has groups under other pseudonyms too.
  for (int round = 0; round < (is_pseudonym ? 2 : 1); ++round) {
    if (round == 1 && !out.known) break;
    Status read =
        each_entry(curator, EntryKind::kRaw, [&](const Entry& entry, const std::vector<SealRow>& seals) -> Status {
          SLM_CHECK(check_groups(entry, seals));
          SLM_TRY(const auto leaves, read_leaves(curator.db.log, entry));
          for (const SealRow& seal : seals) {
            if (seal.partition != Partition::kRawMeta || curator.erased.contains(seal.group)) continue;
            SLM_TRY(auto reader, GroupReader::open(curator, entry, leaves, seal));
            SLM_TRY(const auto opened, reader.read(0));
            if (opened.slices.empty() || (opened.slices[0].flags & Slice::kHeader) == 0)
              return fail(ErrorCode::kIntegrity, fmt::format("entry {}: a group lacks its header", entry.n));
            SLM_TRY(const GroupHeader header,
                    decode_header(std::string_view(opened.text).substr(0, opened.slices[0].size)));
            if (is_pseudonym && round == 0 && header.pseudonym == source) {
              out.source = header.source;
              out.known = true;
            }
            if (out.known && header.source == out.source) out.groups.insert(seal.group);
          }
          return {};
        });
    if (!read) return fail(std::move(read).error());
  }
  return out;
}

json::object plan_to_json(const Found& found) {
  json::array groups;
  for (const Id16& group : found.groups) groups.emplace_back(to_hex(group));
  return json::object{{"groups", std::move(groups)}, {"slmconv_erase_plan", 1}, {"source", to_hex(found.source)}};
}

Result<Found> plan_from_json(std::string_view text) {
  const auto bad = [] { return fail(ErrorCode::kBadInput, "this isn't a plan that `store erase --plan` wrote"); };
  const auto value = parse_json(text);
  if (!value || !value->is_object() || get_int(value->get_object(), "slmconv_erase_plan") != 1) return bad();
  Found out;
  out.known = true;
  const auto source = from_hex(get_string(value->get_object(), "source"));
  const auto* groups = value->get_object().if_contains("groups");
  if (!source || source->size() != out.source.size() || groups == nullptr || !groups->is_array()) return bad();
  std::copy(source->begin(), source->end(), out.source.begin());
  for (const json::value& name : groups->get_array()) {
    if (!name.is_string()) return bad();
    SLM_TRY(const Id16 id, parse_group(std::string_view(name.get_string())));
    out.groups.insert(id);
  }
  return out;
}

// Of each chain the first counter sealed after `from` and not after `to`, in hours.
Result<std::map<Id16, int64_t>> first_between(Database& log, int64_t from, int64_t to) {
  std::map<Id16, int64_t> out;
  SLM_TRY(Statement stmt,
          log.prepare("SELECT store, min(counter) FROM entries WHERE hour > ? AND hour <= ? GROUP BY store"));
  stmt.bind(1, from).bind(2, to);
  while (true) {
    SLM_TRY(const bool row, stmt.step());
    if (!row) return out;
    SLM_TRY(const Id16 store, stmt.fixed<16>(0, "a store id"));
    out[store] = stmt.integer(1);
  }
}

// The files anew, without what deleted rows left. False: another process still reads from the WAL.
Result<bool> rewrite(Session& session) {
  SLM_TRY(const FileLock lock, session.lock());
  bool clean = true;
  for (Database* db : {&session.db.log, &session.db.keys}) {
    SLM_CHECK(db->vacuum());
    clean &= db->wal_is_empty();
  }
  return clean;
}

}  // namespace

Result<EraseResult> erase_source(const fs::path& dir, const EraseOptions& options) {
  EraseResult out;
  Found found;
  if (options.apply.empty()) {
    SLM_TRY(
        Session curator,
        open_session(
            dir, {.identity = options.keys, .role = Role::kCurator, .random = options.random, .clock = options.clock}));
    // What an erasure that was cut off left.
    if (options.plan.empty() && !options.dry_run) {
      SLM_CHECK(refresh_erased(curator));
      SLM_CHECK(finish_erasures(curator));
    }
    SLM_TRY(found, find_groups(curator, options.source));
    if (!found.known)
      return fail(ErrorCode::kBadInput, fmt::format("no group has the pseudonym {}, or none any more", options.source),
                  "give the source's own name, or a pseudonym as `report calls` shows it");
    SLM_TRY(const Dependents gone, find_dependents(curator, found.groups));
    out.n_raw_groups = static_cast<int64_t>(found.groups.size());
    out.n_raw = gone.n_raw;
    out.n_curated = gone.n_curated;
    out.artefacts = gone.artefact_names;
    out.adapters = gone.adapters;
    if (!options.plan.empty()) {
      SLM_CHECK(write_file_atomic(options.plan, canonical_json(plan_to_json(found)) + "\n", 0600));
      return out;
    }
    out.n_spools = static_cast<int64_t>(waiting_spools(dir).size());
    if (options.dry_run) return out;
  } else {
    SLM_TRY(const std::string text, read_file(options.apply, 256 << 20));
    SLM_TRY(found, plan_from_json(text));
  }

  out = {};
  SLM_TRY(AdminRoom room, open_admin_room(dir, {options.keys, {}, options.random, options.clock}));
  Session& session = room.session;
  const auto& known = session.admin.tombstones();
  if (!known.contains(found.source))
    SLM_CHECK(session.admin.add_tombstone(found.source, {session.self.sign_secret.span(), session.now_ms()}));
  // Twice: what was curated or made while the first round was signed is found by the second, and from then on no writer
  // takes it any more. Groups that an earlier run erased are asked for again, for the same reason.
  const uint32_t tombstone = known.at(found.source);
  for (int round = 0; round < 2; ++round) {
    SLM_CHECK(refresh_erased(session));
    std::set<Id16> groups = session.erased_of[tombstone];
    groups.insert(found.groups.begin(), found.groups.end());
    SLM_TRY(Dependents gone, find_dependents(session, groups));
    // Raw groups last: cut off, they still lead to the rest.
    Erasure erasure{false, tombstone, std::move(gone.curated)};
    erasure.groups.insert(erasure.groups.end(), gone.artefacts.begin(), gone.artefacts.end());
    for (const Id16& group : found.groups)
      if (!session.erased.contains(group)) erasure.groups.push_back(group);
    if (round == 0 || !erasure.groups.empty()) SLM_CHECK(commit_erasure(session, &room, std::move(erasure)));
    out.n_raw += gone.n_raw;
    out.n_curated += gone.n_curated;
    out.artefacts.insert(out.artefacts.end(), gone.artefact_names.begin(), gone.artefact_names.end());
    out.adapters = gone.adapters;
  }
  out.n_raw_groups = static_cast<int64_t>(found.groups.size());
  out.n_spools = static_cast<int64_t>(waiting_spools(dir).size());
  out.done = true;
  SLM_CHECK(finish_erasures(session));
  SLM_TRY(out.clean, rewrite(session));
  return out;
}

Result<RetainResult> retain_store(const fs::path& dir, const RetainOptions& options) {
  SLM_TRY(AdminRoom room, open_admin_room(dir, {options.keys, {}, options.random, options.clock}));
  Session& session = room.session;
  SLM_CHECK(refresh_erased(session));
  RetainResult out;
  const int64_t now_hour = session.now_ms() / kHourMs;
  SLM_TRY(const int64_t newest_hour, session.db.log.integer("SELECT max(hour) FROM entries"));
  if (now_hour - newest_hour > kMaxIdleHours)
    return fail(ErrorCode::kUsage,
                fmt::format("the clock says {}, and the newest entry here is of {}: more than {} days apart",
                            format_utc(now_hour * kHourMs).substr(0, 10),
                            format_utc(newest_hour * kHourMs).substr(0, 10), kMaxIdleHours / 24),
                "set the clock; if it is right, slmconv audit show makes an entry of today, then retain again");
  std::vector<Id16> groups;
  const auto collect = [&](EntryKind kind, Partition meta, int64_t days, int64_t& n_calls) -> Status {
    if (days < 0) return {};
    SLM_TRY(Statement frames,
            session.db.log.prepare("SELECT calls FROM frames WHERE frame BETWEEN ? AND ? ORDER BY frame"));
    // Sealed under a clock that was behind: what came before it in its chain is younger than it says. Hours that are
    // still to come are a clock's that was ahead, and say nothing.
    const int64_t last_hour = now_hour - days * 24;
    SLM_TRY(const auto kept_from, first_between(session.db.log, last_hour, now_hour));
    return each_entry(session, kind, [&](const Entry& entry, const std::vector<SealRow>& seals) -> Status {
      if (entry.hour > last_hour) return {};
      const auto kept = kept_from.find(entry.store);
      if (kept != kept_from.end() && entry.counter > kept->second) return {};
      for (const SealRow& seal : seals) {
        if (seal.partition != meta || session.erased.contains(seal.group)) continue;
        groups.push_back(seal.group);
        SLM_TRY(const int64_t n, count_calls(frames, seal.seal));
        n_calls += n;
      }
      return {};
    });
  };
  SLM_CHECK(collect(EntryKind::kRaw, Partition::kRawMeta, options.raw_days, out.n_raw));
  SLM_CHECK(collect(EntryKind::kCurated, Partition::kCuratedMeta, options.curated_days, out.n_curated));
  out.n_groups = static_cast<int64_t>(groups.size());
  if (options.dry_run) return out;
  out.done = !groups.empty();
  if (out.done) SLM_CHECK(commit_erasure(session, &room, {true, 0, std::move(groups)}));
  // And what one that was cut off left.
  SLM_TRY(const int64_t n_finished, finish_erasures(session));
  if (!out.done && n_finished == 0) return out;
  SLM_TRY(out.clean, rewrite(session));
  return out;
}

Result<CompactResult> compact_store(const fs::path& dir) {
  CompactResult out;
  Session session;
  session.dir = dir;
  session.lock_wait_ms = default_lock_wait_ms();
  SLM_TRY(session.db, open_databases(dir, session.lock_wait_ms));
  SLM_TRY(session.admin, AdminLog::load(session.db.log));
  SLM_TRY(session.store_id, read_store_id(session.db.log, session.admin));
  SLM_TRY(Info before, read_info(dir, session.db, session.admin));
  SLM_CHECK(refresh_erased(session));
  SLM_TRY(out.n_finished, finish_erasures(session));
  SLM_TRY(out.n_orphans, remove_orphans(session));
  SLM_TRY(out.clean, rewrite(session));
  SLM_TRY(Info after, read_info(dir, session.db, session.admin));
  out.bytes_before = before.log_bytes + before.keys_bytes;
  out.bytes_after = after.log_bytes + after.keys_bytes;
  return out;
}

}  // namespace slm::store
