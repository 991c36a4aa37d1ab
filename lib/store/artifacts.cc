#include "store/artifacts.h"

#include <fmt/format.h>

#include "core/file.h"
#include "core/hash.h"
#include "store/commit.h"

namespace slm::store {
namespace {

constexpr std::string_view kMagic = "slmconv sealed file 1\n";

}  // namespace

std::string seal_digest(const SealRow& seal) {
  Bytes bytes;
  put_bytes(bytes, seal.group);
  bytes.push_back(what_of(seal.partition));
  put_bytes(bytes, seal.enc_hash);
  put_u64(bytes, static_cast<uint64_t>(seal.first_leaf));
  put_u64(bytes, static_cast<uint64_t>(seal.n_frames));
  put_field(bytes, seal.refs);
  return to_hex(sha256(bytes));
}

Status seal_artifact(Session& session, const SealedFile& file, ByteSpan plaintext) {
  SLM_CHECK(session.refresh_admin());
  SLM_TRY(Random* const random, session.sealing_random(as_bytes(file.name)));
  Pending pending;
  SLM_TRY(pending.entry, new_entry(session, EntryKind::kArtefact, *random));
  Entry& entry = pending.entry;
  entry.action = "seal";
  entry.body_epoch = session.admin.current_epoch(Partition::kCuratedBody).number;
  ContextColumns columns{entry.store,      entry.batch,  {},         Partition::kCuratedBody,
                         entry.body_epoch, entry.schema, entry.hour, {}};
  random->fill(columns.group);
  Bytes refs;
  for (const int64_t counter : session.reads) put_u64(refs, static_cast<uint64_t>(counter));
  const Piece piece{0, 0, {}, as_text(plaintext)};
  SLM_TRY(SealedGroup group, seal_group(session.admin, {columns, std::move(refs), {&piece, 1}}, *random));

  Bytes content = labelled(kMagic);
  put_bytes(content, group.group);
  put_u32(content, static_cast<uint32_t>(group.frames.size()));
  for (const Frame& frame : group.frames) {
    put_field(content, frame.calls);
    put_field(content, frame.sealed);
  }
  group.frames.clear();
  const SealRow row{
      0, group.group, group.partition, sha256(group.enc), 0, static_cast<int64_t>(group.leaves.size()), group.refs};
  entry.facts = canonical_json(
      json::object{{"bytes", static_cast<int64_t>(plaintext.size())}, {"name", file.name}, {"seal", seal_digest(row)}});
  pending.groups.push_back(std::move(group));
  finish_leaves(pending);
  // The file first: an entry in the trail without its file would be a loss, a file without entry is only refused.
  SLM_CHECK(write_file_atomic(file.path, content));
  auto done = commit(session, pending);
  if (!done) {
    std::error_code ec;
    std::filesystem::remove(file.path, ec);
    return fail(std::move(done).error());
  }
  return {};
}

Result<SealedFrames> parse_sealed_file(const std::filesystem::path& path, std::string_view content) {
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kIntegrity, fmt::format("{}: {}", path.string(), what));
  };
  if (!content.starts_with(kMagic)) return bad("not a sealed file");
  Cursor in(as_bytes(content).subspan(kMagic.size()));
  SealedFrames out;
  out.group = in.fixed<16>();
  const uint32_t n_frames = in.u32();
  for (uint32_t seq = 0; seq < n_frames; ++seq) {
    const ByteSpan calls = in.field(), sealed = in.field();
    if (in.failed()) break;
    out.frames.push_back({calls, sealed});
  }
  if (in.failed()) return bad("it was cut off");
  if (in.left() > 0) return bad("something follows its last frame");
  return out;
}

Result<Bytes> open_artifact(Session& session, const SealedFile& file) {
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kIntegrity, fmt::format("{}: {}", file.path.string(), what));
  };
  SLM_CHECK(session.refresh_admin());
  SLM_CHECK(
      session.secret({what_of(Partition::kCuratedBody), session.admin.current_epoch(Partition::kCuratedBody).number}));
  SLM_TRY(const std::string content, read_file(file.path));
  SLM_TRY(const SealedFrames parts, parse_sealed_file(file.path, content));

  SLM_TRY(Statement stmt, session.db.log.prepare("SELECT seal FROM seals WHERE grp = ? AND partition = ?"));
  SLM_TRY(const bool row,
          stmt.bind(1, ByteSpan(parts.group)).bind(2, int64_t{what_of(Partition::kCuratedBody)}).step());
  if (!row) return bad("the store's trail doesn't know this file");
  const int64_t n = stmt.integer(0) >> 16;
  stmt.reset();
  SLM_TRY(const auto entries, read_entries(session.db.log, n, 1));
  if (entries.empty() || entries[0].n != n || entries[0].kind != EntryKind::kArtefact)
    return bad("the store's trail doesn't know this file");
  const Entry& entry = entries[0];
  SLM_CHECK(session.check(entry));
  SLM_TRY(const auto facts, parse_json(entry.facts));
  if (!facts.is_object() || get_string(facts.as_object(), "name") != file.name)
    return bad("it was sealed under another name");
  SLM_TRY(const auto leaves, read_leaves(session.db.log, entry));
  SLM_TRY(const auto seals, read_seals(session.db.log, n));
  SLM_CHECK(check_groups(entry, seals));
  // The seal's row is signed by its digest only: what the row and the file agree on needn't be what was sealed.
  if (seals.size() != 1 || get_string(facts.as_object(), "seal") != seal_digest(seals[0]))
    return bad("its seal isn't the one that was signed");
  if (seals[0].n_frames != static_cast<int64_t>(parts.frames.size()))
    return bad("it has more or fewer frames than were sealed");

  // Logged before the first byte, as every read is.
  Act act;
  act.action = "read";
  act.facts = {{"artefact", file.name}, {"entry", n}};
  SLM_TRY(const Entry logged, commit_act(session, act));
  session.reads.push_back(logged.counter);
  SLM_TRY(const auto reader, GroupReader::open(session, entry, leaves, seals[0]));
  Bytes out;
  bool more = false;
  for (size_t seq = 0; seq < parts.frames.size(); ++seq) {
    const SealedFrames::Frame& frame = parts.frames[seq];
    SLM_TRY(const auto opened, reader.open_frame(static_cast<int64_t>(seq), frame.calls, frame.sealed));
    put_bytes(out, as_bytes(opened.text));
    more = (opened.slices.back().flags & Slice::kMore) != 0;
  }
  if (more || get_int(facts.as_object(), "bytes") != static_cast<int64_t>(out.size())) return bad("it was cut off");
  return out;
}

}  // namespace slm::store
