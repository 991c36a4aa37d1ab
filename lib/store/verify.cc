// Checking a store without any private key: see verify_store() in store.h. Every live cell of both databases is covered
// by a signature, a hash under one, or a count; what is left is SQLite's own slack.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/file.h"
#include "core/hash.h"
#include "store/artifacts.h"
#include "store/commit.h"
#include "store/keyring.h"
#include "store/merkle.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHeadersAtOnce = 256;

Status check_pages(Database& db) {
  SLM_TRY(Statement stmt, db.prepare("PRAGMA integrity_check(1)"));
  SLM_TRY(const bool row, stmt.step());
  if (!row || stmt.text(0) != "ok")
    return fail(ErrorCode::kIntegrity,
                fmt::format("{} is damaged: {}", db.path().filename().string(), row ? stmt.text(0) : "no answer"),
                "restore a backup");
  return {};
}

class Verifier {
 public:
  // Entries up to row n_last.
  Verifier(const fs::path& dir, Databases& db, const AdminLog& admin, int64_t n_last)
      : dir_(dir), db_(db), admin_(admin), n_last_(n_last) {}

  Status trail() {
    SLM_TRY(encapsulation_, db_.keys.prepare("SELECT enc FROM encapsulations WHERE grp = ? AND partition = ?"));
    SLM_TRY(frames_,
            db_.log.prepare("SELECT frame, calls, sealed FROM frames WHERE frame BETWEEN ? AND ? ORDER BY frame"));
    Digest prev{};
    while (report_.n_batches < n_last_) {
      const int64_t next = report_.n_batches + 1;
      SLM_TRY(const auto entries, read_entries(db_.log, next, std::min(kHeadersAtOnce, n_last_ - report_.n_batches)));
      if (entries.empty()) return fail(ErrorCode::kIntegrity, fmt::format("entry {} is missing from the trail", next));
      for (const Entry& entry : entries) {
        if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted while checking the store");
        SLM_CHECK(check_link(entry, report_.n_batches + 1, prev));
        SLM_CHECK(check_entry(admin_, entry));
        SLM_CHECK(content(entry));
        prev = entry.hash();
        ++report_.n_batches;
      }
    }
    report_.head = to_hex(prev);
    if (admin_named_ != admin_.n_entries())
      return fail(ErrorCode::kIntegrity, fmt::format("the trail names admin entries up to {}, the admin's log has {}",
                                                     admin_named_, admin_.n_entries()));
    SLM_CHECK(all_files_known());
    SLM_CHECK(count("seals", "seal", 16, n_seals_));
    return count("frames", "frame", 32, report_.n_frames);
  }

  Status keys(const std::vector<Wrap>& wraps, int64_t n_encapsulations) {
    for (const Wrap& wrap : wraps) SLM_CHECK(check_wrap(admin_, wrap));
    report_.n_orphans = std::max<int64_t>(0, n_encapsulations - n_seals_);
    return {};
  }

  VerifyReport report() const { return report_; }

 private:
  static Status bad(const Entry& entry, std::string_view what) {
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: {}", entry.n, what));
  }

  // No rows but those of the entries checked, and of entries committed since.
  Status count(std::string_view table, std::string_view key, int shift, int64_t want) {
    SLM_TRY(const int64_t n,
            db_.log.integer(fmt::format("SELECT count(*) FROM {} WHERE {} < {}", table, key, (n_last_ + 1) << shift)));
    SLM_TRY(const int64_t beyond,
            db_.log.integer(fmt::format("SELECT count(*) FROM {} WHERE {} >= ((SELECT max(n) FROM entries) + 1) << {}",
                                        table, key, shift)));
    if (n != want || beyond != 0)
      return fail(ErrorCode::kIntegrity, fmt::format("{} has {} rows, the trail names {}", table, n + beyond, want));
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
    n_seals_ += static_cast<int64_t>(seals.size());
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
    if (!row)
      return bad(entry, fmt::format("keys.db lacks the encapsulation of group {}, and no signed erasure names it",
                                    to_hex(seal.group)));
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
    const fs::path path = file_of(made.name);
    if (path.empty()) {
      ++report_.n_missing_files;
      return {};
    }
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
    ++report_.n_artifact_files;
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

  // Init and grants are the admin's, and tie its log to the trail.
  Status act(const Entry& entry, const json::object& facts, size_t n_seals) {
    if (n_seals != 0) return bad(entry, "an act has no groups");
    const bool of_admin = entry.action == "init" || entry.action == "grant";
    if ((entry.n == 1) != (entry.action == "init")) return bad(entry, "the trail begins with init, and only there");
    if (!of_admin) return {};
    const int64_t seq = get_int(facts, "admin_entry").value_or(0);
    if (entry.writer != 1 || seq < 1 || seq > admin_.n_entries() ||
        get_string(facts, "admin_hash") != to_hex(admin_.hash_of(static_cast<uint32_t>(seq))))
      return bad(entry, "the admin's log isn't the one it names");
    admin_named_ = static_cast<uint32_t>(seq);
    return {};
  }

  struct Parts {
    Partition meta, body;
  };
  Status calls(const Entry& entry, std::span<const Digest> leaves, const std::vector<SealRow>& seals,
               const Parts& parts) {
    int64_t n_calls = 0;
    std::vector<std::pair<uint32_t, Tag>> of_meta;
    for (size_t i = 0; i < seals.size(); ++i) {
      const bool meta = i % 2 == 0;
      if (seals[i].partition != (meta ? parts.meta : parts.body) || seals[i].refs.size() % 16 != 0)
        return bad(entry, "its groups aren't pairs of meta and body");
      SLM_TRY(auto listed, frames_of(entry, leaves, seals[i]));
      if (meta) {
        n_calls += static_cast<int64_t>(listed.size());
        of_meta = std::move(listed);
      } else if (listed != of_meta || seals[i].group != seals[i - 1].group) {
        return bad(entry, "a meta and its body group list different calls");
      }
    }
    if (seals.size() % 2 != 0 || n_calls != entry.n_calls)
      return bad(entry, fmt::format("it says {} calls and holds {}", entry.n_calls, n_calls));
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
  const int64_t n_last_;
  Statement encapsulation_, frames_;
  VerifyReport report_;
  std::map<fs::path, bool> files_;  // of artefacts; whether an entry sealed what is there
  int64_t n_seals_ = 0;
  uint32_t admin_named_ = 0;
};

}  // namespace

Result<VerifyReport> verify_store(const fs::path& dir, const VerifyOptions& options) {
  SLM_TRY(Databases db, open_databases(dir, default_lock_wait_ms()));
  SLM_CHECK(check_pages(db.log));
  SLM_CHECK(check_pages(db.keys));
  // Others may commit meanwhile. What is in keys.db now is covered by what log.db says after: a batch's encapsulations
  // come before its entry, a grant's wraps after its grant, which is why the wraps are read first.
  SLM_TRY(const auto wraps, load_wraps(db.keys));
  SLM_TRY(const int64_t n_encapsulations, db.keys.integer("SELECT count(*) FROM encapsulations"));
  SLM_CHECK(db.log.exec("BEGIN"));
  SLM_TRY(const AdminLog admin, AdminLog::load(db.log));
  SLM_TRY(const Head head, read_head(db.log));
  SLM_CHECK(db.log.exec("COMMIT"));
  if (!options.admin_fingerprint.empty() && options.admin_fingerprint != admin.admin().fingerprint())
    return fail(ErrorCode::kWrongKey, fmt::format("this store's admin is {}, not {}", admin.admin().fingerprint(),
                                                  options.admin_fingerprint));
  SLM_CHECK(read_store_id(db.log, admin));
  Verifier verifier(dir, db, admin, head.n);
  SLM_CHECK(verifier.trail());
  SLM_CHECK(verifier.keys(wraps, n_encapsulations));
  VerifyReport report = verifier.report();
  report.n_identities = static_cast<int64_t>(admin.identities().size());
  report.n_grants = static_cast<int64_t>(admin.grants().size());
  report.admin_checked = !options.admin_fingerprint.empty();
  return report;
}

}  // namespace slm::store
