// Checking a store without any private key: see verify_store() in store.h. Every live cell of both databases is covered
// by a signature, a hash under one, or a count; what is left is SQLite's own slack.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "core/file.h"
#include "core/hash.h"
#include "core/log.h"
#include "store/anchor.h"
#include "store/artifacts.h"
#include "store/erased.h"
#include "store/keyring.h"
#include "store/merkle.h"
#include "store/verify.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHeadersAtOnce = 256;

Status check_pages(Database& db, const std::function<Status()>& renew, int64_t limit_ms) {
  SLM_TRY(const bool whole, db.check_pages("", limit_ms));
  if (whole) return {};
  // In pieces then. Frames, the largest of them, are all read by their keys later; what is left out is the list of free
  // pages.
  std::string passed_over;
  SLM_TRY(Statement tables, db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'frames'"));
  std::vector<std::string> names;
  while (true) {
    SLM_TRY(const bool row, tables.step());
    if (!row) break;
    names.emplace_back(tables.text(0));
  }
  for (const std::string& name : names) {
    SLM_CHECK(renew());
    SLM_TRY(const bool done, db.check_pages(name, limit_ms));
    if (!done) passed_over += ", the indexes of " + name;
  }
  log_note(
      fmt::format("{} is too large for one check of its pages within {} ms: what none of the other checks reads is "
                  "its list of free pages{}",
                  db.path().filename().string(), limit_ms, passed_over));
  return {};
}

// A read transaction on both files, begun at one moment.
Status pin(const fs::path& dir, Databases& db) {
  SLM_TRY(const FileLock lock, FileLock::acquire(lock_path(dir), default_lock_wait_ms()));
  for (Database* each : {&db.log, &db.keys}) {
    SLM_CHECK(each->exec("BEGIN"));
    SLM_CHECK(each->integer("SELECT count(*) FROM sqlite_schema"));
  }
  return {};
}

class Verifier {
 public:
  // Entries up to row n_last.
  Verifier(const fs::path& dir, Databases& db, const AdminLog& admin, const CheckOptions& options)
      : dir_(dir), db_(db), admin_(admin), options_(options) {}

  Result<std::map<Id16, ChainHead>> trail(const Id16& store, int64_t n_last) {
    store_ = store;
    n_last_ = erased_upto_ = n_last;
    SLM_TRY(encapsulation_, db_.keys.prepare("SELECT enc FROM encapsulations WHERE grp = ? AND partition = ?"));
    SLM_TRY(frames_,
            db_.log.prepare("SELECT frame, calls, sealed FROM frames WHERE frame BETWEEN ? AND ? ORDER BY frame"));
    SLM_TRY(n_frames_, db_.log.prepare("SELECT count(*) FROM frames WHERE frame BETWEEN ? AND ?"));
    SLM_CHECK(learn_erasures(admin_, 1, n_last));
    Chains chains(true);
    while (report_.n_batches < n_last_) {
      const int64_t next = report_.n_batches + 1;
      SLM_TRY(const auto entries, read_entries(db_.log, next, std::min(kHeadersAtOnce, n_last_ - report_.n_batches)));
      if (entries.empty()) return fail(ErrorCode::kIntegrity, fmt::format("entry {} is missing from the trail", next));
      for (const Entry& entry : entries) {
        if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted while checking the store");
        SLM_CHECK(next_window());
        SLM_CHECK(chains.follow(entry, report_.n_batches + 1));
        SLM_CHECK(check_entry(admin_, entry));
        const int64_t frames_before = report_.n_frames;
        SLM_CHECK(content(entry));
        SLM_CHECK(no_other_frames(entry, report_.n_frames - frames_before));
        ++report_.n_batches;
      }
    }
    SLM_CHECK(merged_chains_are_named(chains));
    report_.head = to_hex(chains.heads().at(store_).hash);
    if (admin_named_ != admin_.n_entries())
      return fail(ErrorCode::kIntegrity, fmt::format("the trail names admin entries up to {}, the admin's log has {}",
                                                     admin_named_, admin_.n_entries()));
    SLM_CHECK(all_files_known());
    SLM_CHECK(none_outside("seals", "seal", 16));
    SLM_CHECK(none_outside("frames", "frame", 32));
    return chains.heads();
  }

  Status keys(const std::vector<Wrap>& wraps, int64_t n_encapsulations) {
    for (const Wrap& wrap : wraps) SLM_CHECK(check_wrap(admin_, wrap));
    report_.n_orphans = std::max<int64_t>(0, n_encapsulations - n_encapsulations_ - n_gone_meanwhile_);
    return {};
  }

  VerifyReport report() const { return report_; }

 private:
  static Status bad(const Entry& entry, std::string_view what) {
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: {}", entry.n, what));
  }

  // Between two entries: a moment that got old is given up.
  Status next_window() {
    if (!options_.renew ||
        std::chrono::steady_clock::now() - window_begun_ < std::chrono::milliseconds(options_.window_ms))
      return {};
    SLM_CHECK(options_.renew());
    window_begun_ = std::chrono::steady_clock::now();
    SLM_TRY(const int64_t head, db_.log.integer("SELECT max(n) FROM entries"));
    if (head == erased_upto_) return {};
    // The admin may have signed since what those acts rest on.
    SLM_TRY(const AdminLog newest, AdminLog::load(db_.log));
    if (!newest.continues(admin_))
      return fail(ErrorCode::kIntegrity, "the admin's entries changed while the store was checked");
    return learn_erasures(newest, std::exchange(erased_upto_, head) + 1, head);
  }

  Status learn_erasures(const AdminLog& admin, int64_t from, int64_t to) {
    return each_erasing_act(db_.log, admin, {from, to}, [&](ErasingAct&& act) {
      for (const Id16& group : act.erasure.groups)
        if (erased_.insert(group).second && from > n_last_) erased_meanwhile_.insert(group);
      return Status();
    });
  }

  // No frames of an entry but those checked.
  Status no_other_frames(const Entry& entry, int64_t n_checked) {
    const bool row = n_frames_.bind(1, entry.n << 32).bind(2, (entry.n << 32) + 0xffffffff).step().value_or(false);
    const int64_t n = row ? n_frames_.integer(0) : -1;
    n_frames_.reset();
    return n == n_checked ? Status{} : bad(entry, fmt::format("it has {} frames, {} were signed", n, n_checked));
  }

  // No rows before the first entry's and after the last one's.
  Status none_outside(std::string_view table, std::string_view key, int shift) {
    for (const std::string& where : {fmt::format("{} < {}", key, int64_t{1} << shift),
                                     fmt::format("{} >= ((SELECT max(n) FROM entries) + 1) << {}", key, shift)}) {
      SLM_TRY(const int64_t n, db_.log.integer(fmt::format("SELECT count(*) FROM {} WHERE {}", table, where)));
      if (n != 0) return fail(ErrorCode::kIntegrity, fmt::format("{} has {} rows that no entry names", table, n));
    }
    return {};
  }

  Status content(const Entry& entry) {
    if (entry.schema > 1)
      return fail(ErrorCode::kFormatTooNew,
                  fmt::format("entry {} has schema {}, this program knows 1", entry.n, entry.schema));
    const auto facts = parse_json(entry.facts);
    if (!facts || !facts->is_object() || canonical_json(*facts) != entry.facts)
      return bad(entry, "its facts aren't canonical JSON");
    SLM_TRY(const auto leaves, read_leaves(db_.log, entry));
    SLM_TRY(const auto seals, read_seals(db_.log, entry.n));
    SLM_CHECK(check_groups(entry, seals));
    for (const SealRow& seal : seals) SLM_CHECK(epoch_and_encapsulation(entry, seal));
    switch (entry.kind) {
      case EntryKind::kAct:
        return act(entry, facts->as_object(), seals.size());
      case EntryKind::kArtefact:
        if (seals.size() != 1 || get_string(facts->as_object(), "seal") != seal_digest(seals[0]))
          return bad(entry, "its seal isn't the one signed");
        return artefact(entry, {std::string(get_string(facts->as_object(), "name")), leaves, seals[0]});
      case EntryKind::kRaw:
        return calls(entry, leaves, seals, {Partition::kRawMeta, Partition::kRawBody});
      case EntryKind::kCurated:
        return calls(entry, leaves, seals, {Partition::kCuratedMeta, Partition::kCuratedBody});
    }
    return fail(ErrorCode::kFormatTooNew, fmt::format("entry {} is of kind {}, which this program doesn't know",
                                                      entry.n, static_cast<int>(entry.kind)));
  }

  Status epoch_and_encapsulation(const Entry& entry, const SealRow& seal) {
    if (admin_.epoch(seal.partition, context_of(entry, seal).epoch) == nullptr)
      return bad(entry, "it is sealed to an epoch that the admin didn't sign");
    SLM_TRY(const bool row,
            encapsulation_.bind(1, ByteSpan(seal.group)).bind(2, int64_t{what_of(seal.partition)}).step());
    n_encapsulations_ += row;
    n_gone_meanwhile_ += !row && erased_meanwhile_.contains(seal.group);
    const bool gone = erased_.contains(seal.group);
    const bool cleared = gone && is_cleared(seal);
    if (!row && (cleared || (gone && entry.kind == EntryKind::kArtefact))) return {};
    if (!row)
      return bad(entry, fmt::format("keys.db lacks the encapsulation of group {}, and no signed erasure names it",
                                    to_hex(seal.group)));
    if (cleared) {  // cut off between the two files: store compact removes it
      encapsulation_.reset();
      ++report_.n_left_over;
      return {};
    }
    const bool good = sha256(encapsulation_.blob(0)) == seal.enc_hash;
    encapsulation_.reset();
    return good ? Status{} : bad(entry, "an encapsulation was changed");
  }

  struct Artefact {
    std::string name;
    std::span<const Digest> leaves;
    const SealRow& seal;
  };
  // An artefact's frames lie in a file that its name leads to. One that is gone, or was made again since, is counted.
  Status artefact(const Entry& entry, const Artefact& made) {
    const fs::path path = options_.artefacts ? file_of(made.name) : fs::path();
    if (path.empty()) {
      ++report_.n_missing_files;
      return {};
    }
    const bool gone = erased_.contains(made.seal.group);
    bool& matched = files_[path];
    SLM_TRY(const std::string content, read_file(path));
    SLM_TRY(const SealedFrames parts, parse_sealed_file(path, content));
    if (parts.group != made.seal.group) {
      ++report_.n_missing_files;
      return {};
    }
    const ContextColumns context = context_of(entry, made.seal);
    bool good = static_cast<int64_t>(parts.frames.size()) == made.seal.n_frames;
    for (size_t i = 0; good && i < parts.frames.size(); ++i)
      good = frame_leaf(frame_aad(context, static_cast<uint32_t>(i), parts.frames[i].calls), parts.frames[i].sealed,
                        made.seal.enc_hash) == made.leaves[i];
    if (!good) return fail(ErrorCode::kIntegrity, fmt::format("{} was changed", path.string()), "make it again");
    matched = true;
    ++(gone ? report_.n_missing_files : report_.n_artifact_files);
    return {};
  }

  // The steps name a sealed file by its place below artifacts/, with or without an ending of its own. Empty if none is
  // there.
  fs::path file_of(const std::string& name) const {
    const fs::path below(name);
    const bool inside =
        !name.empty() && below.is_relative() && std::find(below.begin(), below.end(), fs::path("..")) == below.end();
    std::error_code ec;
    for (const char* ending : {"", ".sealed"}) {
      const fs::path path = dir_ / "artifacts" / (name + ending);
      if (inside && fs::is_regular_file(path, ec)) return path;
    }
    return {};
  }

  // A file under an artefact's name that no entry sealed is one that was changed.
  Status all_files_known() {
    for (const auto& [path, matched] : files_) {
      if (matched) continue;
      SLM_TRY(const std::string content, read_file(path));
      SLM_TRY(const SealedFrames parts, parse_sealed_file(path, content));
      SLM_TRY(Statement stmt, db_.log.prepare("SELECT max(seal) FROM seals WHERE grp = ?"));
      SLM_TRY(const bool row, stmt.bind(1, ByteSpan(parts.group)).step());
      if (!row || stmt.integer(0) >> 16 <= n_last_)
        return fail(ErrorCode::kIntegrity, fmt::format("{} isn't a file that was sealed under its name", path.string()),
                    "make it again");
    }
    return {};
  }

  // Acts that name an admin entry tie the admin's log to the trail; most of them only the admin may sign.
  Status act(const Entry& entry, const json::object& facts, size_t n_seals) {
    if (n_seals != 0) return bad(entry, "an act has no groups");
    static constexpr std::string_view kOfAdmin[] = {"init", "grant", "rotate", "revoke", "store", "retention"};
    const bool of_admin = std::find(std::begin(kOfAdmin), std::end(kOfAdmin), entry.action) != std::end(kOfAdmin);
    if ((entry.counter == 1) != (entry.action == "init")) return bad(entry, "a trail begins with init, and only there");
    if (of_admin && entry.writer != 1) return bad(entry, fmt::format("only the admin may {}", entry.action));
    if (is_erasure(entry)) SLM_CHECK(read_erasure(admin_, entry));
    if (entry.action == "merge") SLM_CHECK(merge(entry, facts));
    if (!of_admin && !facts.contains("admin_entry")) return {};
    const int64_t seq = get_int(facts, "admin_entry").value_or(0);
    if (seq < 1 || seq > admin_.n_entries() ||
        get_string(facts, "admin_hash") != to_hex(admin_.hash_of(static_cast<uint32_t>(seq))))
      return bad(entry, "the admin's log isn't the one it names");
    admin_named_ = std::max(admin_named_, static_cast<uint32_t>(seq));
    return {};
  }

  struct Parts {
    Partition meta, body;
  };
  Status calls(const Entry& entry, std::span<const Digest> leaves, const std::vector<SealRow>& seals,
               const Parts& parts) {
    int64_t n_calls = 0;
    bool whole = true;
    std::vector<std::pair<uint32_t, Tag>> of_meta;
    for (size_t i = 0; i < seals.size(); ++i) {
      const bool meta = i % 2 == 0;
      if (seals[i].partition != (meta ? parts.meta : parts.body) || seals[i].refs.size() % 16 != 0)
        return bad(entry, "its groups aren't pairs of meta and body");
      if (!meta && seals[i].group != seals[i - 1].group)
        return bad(entry, "a meta and its body group have different names");
      const bool gone = erased_.contains(seals[i].group);
      report_.n_erased += gone && meta;
      if (gone && is_cleared(seals[i])) {
        whole = false;
        continue;
      }
      // Named by an erasure that came with a merge and wasn't finished: it is whole still.
      report_.n_left_over += gone && meta;
      SLM_TRY(auto listed, frames_of(entry, leaves, seals[i]));
      if (meta) {
        n_calls += static_cast<int64_t>(listed.size());
        of_meta = std::move(listed);
      } else if (listed != of_meta) {
        return bad(entry, "a meta and its body group list different calls");
      }
    }
    if (seals.size() % 2 != 0 || (whole ? n_calls != entry.n_calls : n_calls > entry.n_calls))
      return bad(entry, fmt::format("it says {} calls and holds {}", entry.n_calls, n_calls));
    return {};
  }

  // A chain of another store is complete to what a merge of this one names.
  Status merged_chains_are_named(const Chains& chains) {
    for (const auto& [store, head] : chains.heads()) {
      if (store == store_) continue;
      const auto it = merged_.find(store);
      if (it == merged_.end() || it->second != head.counter)
        return fail(ErrorCode::kIntegrity, fmt::format("entries of store {} lie here that no merge brought, or not all "
                                                       "that one did",
                                                       to_hex(store)));
    }
    return {};
  }

  // What a merge act says it brought is here, as it says.
  Status merge(const Entry& entry, const json::object& facts) {
    SLM_CHECK(read_ahead(admin_, entry));
    const auto* chains = facts.if_contains("chains");
    if (chains == nullptr || !chains->is_array()) return bad(entry, "it says not what it merged");
    for (const json::value& item : chains->get_array()) {
      if (!item.is_object()) return bad(entry, "it says not what it merged");
      const auto id = from_hex(get_string(item.get_object(), "store"));
      const int64_t to = get_int(item.get_object(), "to").value_or(0);
      Id16 store{};
      if (!id || id->size() != store.size()) return bad(entry, "it says not what it merged");
      std::copy(id->begin(), id->end(), store.begin());
      SLM_TRY(const auto last, find_entry(db_.log, store, to));
      if (!last || to_hex(last->hash()) != get_string(item.get_object(), "head") ||
          (entry.store == store_ && last->n >= entry.n))
        return bad(entry, "what it merged isn't here");
      if (entry.store == store_) merged_[store] = std::max(merged_[store], to);
    }
    return {};
  }

  // Leaves of a group's frames against the signed ones; the calls they list, in order.
  Result<std::vector<std::pair<uint32_t, Tag>>> frames_of(const Entry& entry, std::span<const Digest> leaves,
                                                          const SealRow& seal) {
    const ContextColumns context = context_of(entry, seal);
    std::vector<std::pair<uint32_t, Tag>> out;
    int64_t seq = 0;
    bool open = false;  // the last call goes on
    const int64_t first = seal.seal << 16;
    frames_.bind(1, first).bind(2, first + 0xffff);
    while (true) {
      SLM_TRY(const bool row, frames_.step());
      if (!row) break;
      const ByteSpan calls = frames_.blob(1), sealed = frames_.blob(2);
      const Bytes aad = frame_aad(context, static_cast<uint32_t>(seq), calls);
      if (seq >= seal.n_frames || frames_.integer(0) != first + seq ||
          frame_leaf(aad, sealed, seal.enc_hash) != leaves[static_cast<size_t>(seal.first_leaf + seq)]) {
        frames_.reset();
        return fail(ErrorCode::kIntegrity,
                    fmt::format("entry {}: frame {} of group {} was changed", entry.n, seq, to_hex(seal.group)));
      }
      SLM_TRY(const auto slices, decode_slices(calls));
      for (const Slice& slice : slices) {
        if (!open && (slice.flags & Slice::kHeader) == 0) out.emplace_back(slice.index, slice.tag);
        open = (slice.flags & Slice::kMore) != 0;
      }
      ++seq;
    }
    if (seq != seal.n_frames)
      return fail(ErrorCode::kIntegrity, fmt::format("entry {}: group {} has {} frames, {} were signed", entry.n,
                                                     to_hex(seal.group), seq, seal.n_frames));
    report_.n_frames += seq;
    return out;
  }

  const fs::path& dir_;
  Databases& db_;
  const AdminLog& admin_;
  const CheckOptions& options_;
  Id16 store_{};
  int64_t n_last_ = 0;
  std::chrono::steady_clock::time_point window_begun_ = std::chrono::steady_clock::now();
  Statement encapsulation_, frames_, n_frames_;
  VerifyReport report_;
  std::map<fs::path, bool> files_;  // of artefacts; whether an entry sealed what is there
  int64_t n_encapsulations_ = 0;
  int64_t n_gone_meanwhile_ = 0;     // encapsulations that erasures took since n_encapsulations were counted
  std::set<Id16> erased_;            // named by a signed act
  std::set<Id16> erased_meanwhile_;  // of these, by one newer than n_last_
  int64_t erased_upto_ = 0;          // row up to which acts were read
  std::map<Id16, int64_t> merged_;   // counter up to which a merge brought another store's chain
  uint32_t admin_named_ = 0;
};

}  // namespace

Result<Checked> verify_databases(const fs::path& dir, Databases& db, const AdminLog& admin,
                                 const CheckOptions& options) {
  if (!options.renew)
    for (Database* each : {&db.log, &db.keys}) SLM_CHECK(each->check_pages("", int64_t{1} << 40));
  SLM_TRY(const auto wraps, load_wraps(db.keys));
  SLM_TRY(const int64_t n_encapsulations, db.keys.integer("SELECT count(*) FROM encapsulations"));
  SLM_TRY(const int64_t n_last, db.log.integer("SELECT max(n) FROM entries"));
  Checked out;
  SLM_TRY(out.store, read_store_id(db.log, admin));
  Verifier verifier(dir, db, admin, options);
  SLM_TRY(out.chains, verifier.trail(out.store, n_last));
  SLM_CHECK(verifier.keys(wraps, n_encapsulations));
  out.report = verifier.report();
  out.report.n_identities = static_cast<int64_t>(admin.identities().size());
  out.report.n_grants = static_cast<int64_t>(admin.grants().size());
  return out;
}

Result<VerifyReport> verify_store(const fs::path& dir, const VerifyOptions& options) {
  return verify_in_windows(dir, options, {});
}

Result<VerifyReport> verify_in_windows(const fs::path& dir, const VerifyOptions& options,
                                       const WindowOptions& windows) {
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  // Others may commit meanwhile: what is checked is a moment of both files, taken under the lock.
  SLM_CHECK(pin(dir, db));
  const auto renew = [&]() -> Status {
    for (Database* each : {&db.log, &db.keys}) SLM_CHECK(each->exec("COMMIT"));
    if (windows.between) windows.between();
    return pin(dir, db);
  };
  SLM_TRY(AdminLog admin, AdminLog::load(db.log));
  if (!options.admin_fingerprint.empty() && options.admin_fingerprint != admin.admin().fingerprint())
    return fail(ErrorCode::kWrongKey, fmt::format("this store's admin is {}, not {}", admin.admin().fingerprint(),
                                                  options.admin_fingerprint));
  for (Database* each : {&db.log, &db.keys}) {
    SLM_CHECK(check_pages(*each, renew, windows.window_ms));
    SLM_CHECK(renew());
  }
  SLM_TRY(admin, AdminLog::load(db.log));
  SLM_TRY(Checked checked, verify_databases(dir, db, admin, {true, renew, windows.window_ms}));
  for (Database* each : {&db.log, &db.keys}) SLM_CHECK(each->exec("COMMIT"));
  checked.report.admin_checked = !options.admin_fingerprint.empty();
  SLM_CHECK(check_anchors(db.log, admin, {options.anchor, checked.store}, checked.report));
  return checked.report;
}

}  // namespace slm::store
