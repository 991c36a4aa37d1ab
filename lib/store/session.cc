#include "store/session.h"

#include <fmt/format.h>

#include "core/hash.h"

namespace slm::store {

namespace {
constexpr size_t kMaxHeaders = 1 << 16;
}

Result<ByteSpan> Session::secret(KeyName key) {
  const auto it = secrets.find(key);
  if (it != secrets.end()) return it->second.span();
  SLM_TRY(auto opened, open_wrap(db.keys, admin, key, {self_seq, self.kem_secret.span()}));
  return secrets.emplace(key, std::move(opened)).first->second.span();
}

Result<ByteSpan> Session::current_fleet_secret(FleetKey key) {
  return secret({what_of(key), admin.current_fleet_key(key).version});
}

Status Session::refresh_admin() {
  SLM_TRY(const int64_t n, db.log.integer("SELECT max(seq) FROM admin"));
  // The admin's own session is ahead while it signs.
  if (n == admin.n_entries() || (self_seq == 1 && n < admin.n_entries())) return {};
  SLM_TRY(AdminLog fresh, AdminLog::load(db.log));
  if (!fresh.continues(admin))
    return fail(ErrorCode::kIntegrity, "the admin's entries changed while the store was open");
  admin = std::move(fresh);
  return {};
}

Status Session::check(const Entry& entry) {
  const Digest hash = entry.hash();
  const auto it = verified.find(entry.n);
  if (it != verified.end() && it->second == hash) return {};
  SLM_CHECK(check_entry(admin, entry));
  verified[entry.n] = hash;
  return {};
}

void Session::remember(const Id16& group, GroupHeader header) {
  if (headers.size() >= kMaxHeaders) headers.clear();
  headers[group] = std::move(header);
}

Result<Random*> Session::sealing_random(ByteSpan context) {
  if (!admin.demo()) return random;
  SLM_TRY(const Head head, read_head(db.log, store_id));
  Sha256 h;
  h.update("slmconv demo randomness");
  h.update(head.hash);
  h.update(self.pub.sign);
  h.update(context);
  demo_randoms.clear();
  demo_randoms.push_back(seeded_random(get_u64(h.finish().data())));
  return demo_randoms.back().get();
}

int64_t Session::now_ms() { return admin.demo() ? kDemoTime_ms : clock->now_ms(); }

Bytes seal_info(const AdminLog& admin, const EpochRecord& epoch) {
  constexpr std::string_view kLabel = "slmconv seal 1";
  Bytes out = labelled(kLabel);
  put_bytes(out, admin.fleet());
  out.push_back(what_of(epoch.partition));
  put_u32(out, epoch.number);
  return out;
}

}  // namespace slm::store
