// The trail as an auditor reads it: see read_audit() in manage.h.
#include <fmt/format.h>

#include "store/commit.h"
#include "store/keyring.h"
#include "store/manage.h"

namespace slm::store {
namespace {

constexpr int64_t kEntriesAtOnce = 256;
constexpr int64_t kHourMs = 3'600'000;

// Time and text of an act.
Status open_details(Session& session, const Entry& entry, AuditRow& row) {
  if (entry.details.empty()) return {};
  const auto bad = [&] {
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: its details can't be opened", entry.n));
  };
  const EpochRecord* epoch = session.admin.epoch(Partition::kAudit, entry.meta_epoch);
  crypto::Encapsulation enc;
  if (epoch == nullptr || entry.details.size() < enc.size()) return bad();
  std::copy_n(entry.details.begin(), enc.size(), enc.begin());
  SLM_TRY(const ByteSpan secret, session.secret({what_of(Partition::kAudit), epoch->number}));
  SLM_TRY(const auto context, crypto::hpke_receiver(epoch->aead, secret, enc, seal_info(session.admin, *epoch)));
  SLM_TRY(const Bytes text, context.open(0, entry.batch, ByteSpan(entry.details).subspan(enc.size())));
  Cursor in(text);
  row.time_ms = static_cast<int64_t>(in.u64());
  row.details = as_text(in.field());
  return in.done("an act's details");
}

}  // namespace

Status read_audit(const std::filesystem::path& dir, const AuditQuery& query, const KeyOptions& options,
                  const std::function<Result<bool>(const AuditRow&)>& visit) {
  SLM_TRY(
      Session session,
      open_session(
          dir, {.identity = options.keys, .role = Role::kAuditor, .random = options.random, .clock = options.clock}));
  // Whether it may is a fact of its keys; then the reading is logged, then it begins.
  SLM_CHECK(session.secret({what_of(Partition::kAudit), session.admin.current_epoch(Partition::kAudit).number}));
  SLM_TRY(const int64_t to, session.db.log.integer("SELECT max(n) FROM entries"));
  Act act;
  act.action = "read";
  act.facts = {{"from", query.from}, {"space", "audit"}, {"to", to}};
  act.details = query.purpose;
  SLM_CHECK(commit_act(session, act));

  const auto wanted = [&](const Entry& entry, const IdentityRecord& writer) {
    return (query.action.empty() || entry.action == query.action) &&
           (query.actor.empty() || writer.pub.fingerprint().starts_with(query.actor));
  };
  // With a limit the rows to show are found from the end first: the clear columns are enough for that.
  int64_t from = std::max<int64_t>(1, query.from);
  if (query.limit >= 0) {
    int64_t found = 0, at = to;
    for (; at >= from && found < query.limit; --at) {
      SLM_TRY(const auto entries, read_entries(session.db.log, at, 1));
      if (entries.empty()) continue;
      const IdentityRecord* writer = session.admin.identity(entries[0].writer);
      found += writer != nullptr && wanted(entries[0], *writer);
    }
    from = at + 1;
  }
  Chains chains(from <= 1);
  for (int64_t next = from; next <= to;) {
    SLM_TRY(const auto entries, read_entries(session.db.log, next, kEntriesAtOnce));
    if (entries.empty()) return fail(ErrorCode::kIntegrity, fmt::format("entry {} is missing from the trail", next));
    for (const Entry& entry : entries) {
      if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted while reading the trail");
      if (entry.n > to) return {};
      SLM_CHECK(chains.follow(entry, next));
      ++next;
      SLM_CHECK(session.check(entry));
      const IdentityRecord& writer = *session.admin.identity(entry.writer);
      if (!wanted(entry, writer)) continue;
      AuditRow row;
      row.n = entry.n;
      row.counter = entry.counter;
      row.store = to_hex(entry.store);
      row.actor = writer.pub.fingerprint();
      row.role = writer.role;
      row.action = entry.action;
      row.time_ms = entry.hour * kHourMs;
      row.n_calls = entry.n_calls;
      row.hash = to_hex(entry.hash());
      SLM_TRY(const auto facts, parse_json(entry.facts));
      if (facts.is_object()) row.facts = facts.get_object();
      SLM_CHECK(open_details(session, entry, row));
      SLM_TRY(const bool more, visit(row));
      if (!more) return {};
    }
  }
  return {};
}

}  // namespace slm::store
