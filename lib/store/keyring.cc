#include "store/keyring.h"

#include <fmt/format.h>

#include <set>

#include "store/erased.h"

namespace slm::store {

Grant grant_of(const AdminLog& admin, uint32_t identity, Role role, int64_t time_ms) {
  Grant grant{identity, entry_kinds_of(role), {}, time_ms};
  for (const KeyName& key : admin.all_keys()) {
    const bool fleet = key.what >= 16;
    const bool old_name = key.what == what_of(FleetKey::kPseudonym) &&
                          key.version != admin.current_fleet_key(FleetKey::kPseudonym).version;
    const bool opens = !fleet ? may_read(role, static_cast<Partition>(key.what))
                              : may_hold(role, static_cast<FleetKey>(key.what - 16));
    if (opens && (!old_name || role == Role::kCurator)) grant.opens.push_back(key);
  }
  return grant;
}

Session make_session(SessionParts parts) {
  Session out;
  out.dir = std::move(parts.dir);
  out.db = std::move(parts.db);
  out.admin = std::move(parts.admin);
  out.store_id = parts.store;
  out.self = std::move(parts.self);
  out.self_seq = parts.self_seq;
  out.role = parts.role;
  out.random = parts.random;
  out.clock = parts.clock;
  out.lock_wait_ms = default_lock_wait_ms();
  return out;
}

json::object admin_facts(const AdminLog& admin) {
  return {{"admin_entry", admin.n_entries()}, {"admin_hash", to_hex(admin.hash_of(admin.n_entries()))}};
}

Status check_private(const std::filesystem::path& key_file) {
  std::error_code ec;
  const auto mode = std::filesystem::status(key_file, ec).permissions();
  if (ec) return fail(ErrorCode::kIo, fmt::format("looking at {}: {}", key_file.string(), ec.message()));
  if ((mode & (std::filesystem::perms::group_all | std::filesystem::perms::others_all)) != std::filesystem::perms::none)
    return fail(ErrorCode::kWrongKey, fmt::format("{} is a private key that others may read", key_file.string()),
                fmt::format("chmod 600 {}", key_file.string()));
  return {};
}

Result<crypto::Identity> load_identity(const std::filesystem::path& key_file) {
  std::error_code ec;
  if (!std::filesystem::exists(key_file, ec))
    return fail(ErrorCode::kWrongKey, fmt::format("there is no key file {}", key_file.string()),
                "--identity (or SLMCONV_IDENTITY) names a key file or the folder that init put them in");
  SLM_CHECK(check_private(key_file));
  return crypto::read_key_file(
      key_file, [&] { return crypto::find_passphrase({}, fmt::format("passphrase of {}", key_file.string())); });
}

Result<Id16> read_store_id(Database& log, const AdminLog& admin) {
  SLM_TRY(const auto entries, read_entries(log, 1, 1));
  if (entries.empty() || entries[0].n != 1) return fail(ErrorCode::kIntegrity, "the trail lacks its first entry");
  SLM_CHECK(check_entry(admin, entries[0]));
  if (entries[0].writer != 1 || entries[0].action != "init")
    return fail(ErrorCode::kIntegrity, "the trail doesn't begin with the admin's init");
  return entries[0].store;
}

// Calls of groups that an erasure names aren't counted, however many erasures name them: in the entries that lost some,
// what is left is counted anew. As all of the counts, this takes the rows at their word: who may erase is the readers'
// and verify's to check, and a store whose trail fails them still opens to say so.
static Status leave_out_erased(Database& log, Info& info) {
  std::set<std::string> gone;
  std::set<int64_t> touched;
  SLM_TRY(Statement acts, log.prepare("SELECT facts FROM entries WHERE action IN ('erase', 'retention') AND kind = 4"));
  SLM_TRY(Statement of_group, log.prepare("SELECT seal >> 16 FROM seals WHERE grp = ?"));
  while (true) {
    SLM_TRY(const bool row, acts.step());
    if (!row) break;
    const auto facts = parse_json(acts.text(0));
    const json::array* const groups = facts && facts->is_object() ? get_array(facts->get_object(), "groups") : nullptr;
    if (groups == nullptr) return fail(ErrorCode::kIntegrity, "the facts of an erasure say not what it erases");
    for (const json::value& name : *groups) {
      const auto group = name.is_string() ? from_hex(std::string_view(name.get_string())) : Result<Bytes>(Bytes{});
      if (!group || !gone.insert(std::string(as_text(*group))).second) continue;
      of_group.bind(1, ByteSpan(*group));
      while (true) {
        SLM_TRY(const bool found, of_group.step());
        if (!found) break;
        touched.insert(of_group.integer(0));
      }
    }
  }
  SLM_TRY(Statement seals, log.prepare("SELECT e.kind, e.n_calls, s.seal, s.grp, s.partition FROM entries e CROSS JOIN "
                                       "seals s ON s.seal BETWEEN e.n << 16 AND (e.n << 16) + 65535 WHERE e.n = ?"));
  SLM_TRY(Statement frames, log.prepare("SELECT calls FROM frames WHERE frame BETWEEN ? AND ? ORDER BY frame"));
  for (const int64_t n : touched) {
    seals.bind(1, n);
    for (bool first = true;; first = false) {
      SLM_TRY(const bool row, seals.step());
      if (!row) break;
      const auto kind = static_cast<EntryKind>(seals.integer(0));
      if (kind != EntryKind::kRaw && kind != EntryKind::kCurated) continue;
      int64_t& total = kind == EntryKind::kRaw ? info.n_raw : info.n_curated;
      if (first) total -= seals.integer(1);
      const auto partition = static_cast<Partition>(seals.integer(4));
      if ((partition != Partition::kRawMeta && partition != Partition::kCuratedMeta) ||
          gone.contains(std::string(as_text(seals.blob(3)))))
        continue;
      SLM_TRY(const int64_t left, count_calls(frames, seals.integer(2)));
      total += left;
    }
  }
  return {};
}

Result<Info> read_info(const std::filesystem::path& dir, Databases& db, const AdminLog& admin) {
  Info info;
  SLM_TRY(const Id16 store, read_store_id(db.log, admin));
  info.store_id = to_hex(store);
  info.fleet_id = to_hex(admin.fleet());
  info.admin_fingerprint = admin.admin().fingerprint();
  info.format = kFormat;
  info.demo = admin.demo();
  SLM_TRY(const Head head, read_head(db.log, store));
  info.n_batches = head.n;
  info.head = to_hex(head.hash);
  SLM_TRY(Statement stmt, db.log.prepare("SELECT kind, sum(n_calls), count(*) FROM entries GROUP BY kind"));
  while (true) {
    SLM_TRY(const bool row, stmt.step());
    if (!row) break;
    switch (static_cast<EntryKind>(stmt.integer(0))) {
      case EntryKind::kRaw:
        info.n_raw = stmt.integer(1);
        break;
      case EntryKind::kCurated:
        info.n_curated = stmt.integer(1);
        break;
      case EntryKind::kAct:
        info.n_audit = stmt.integer(2);
        break;
      case EntryKind::kArtefact:
        break;
    }
  }
  SLM_CHECK(leave_out_erased(db.log, info));
  const auto size = [](const std::filesystem::path& file) {
    int64_t total = 0;
    for (const char* suffix : {"", "-wal"}) {
      std::error_code ec;
      const auto bytes = std::filesystem::file_size(file.string() + suffix, ec);
      if (!ec) total += static_cast<int64_t>(bytes);
    }
    return total;
  };
  info.log_bytes = size(log_path(dir));
  info.keys_bytes = size(keys_path(dir));
  return info;
}

}  // namespace slm::store
