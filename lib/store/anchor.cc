#include "store/anchor.h"

#include <fmt/format.h>

#include "schema/json.h"

namespace slm::store {
namespace {

struct Anchor {
  Id16 store{};
  int64_t counter = 0, time_ms = 0;
  Digest hash{};
  uint32_t writer = 0;
  crypto::Signature signature{};

  Bytes signed_bytes() const {
    Bytes out = labelled("slmconv anchor 1");
    put_bytes(out, store);
    put_u64(out, static_cast<uint64_t>(counter));
    put_bytes(out, hash);
    put_u64(out, static_cast<uint64_t>(time_ms));
    return out;
  }
};

template <size_t N>
bool take(const json::object& object, std::string_view key, std::array<uint8_t, N>& out) {
  const auto bytes = from_hex(get_string(object, key));
  if (!bytes || bytes->size() != N) return false;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return true;
}

Result<Anchor> parse(std::string_view line, int64_t number) {
  const auto bad = [&] { return fail(ErrorCode::kBadInput, fmt::format("anchor {} isn't a signed head", number)); };
  const auto value = parse_json(line);
  if (!value || !value->is_object()) return bad();
  const json::object& o = value->get_object();
  Anchor out;
  const auto counter = get_int(o, "counter"), time_ms = get_int(o, "time_ms"), writer = get_int(o, "writer");
  if (get_int(o, "slmconv_anchor") != 1 || !counter || !time_ms || !writer || *writer < 1 || *writer > UINT32_MAX ||
      !take(o, "store", out.store) || !take(o, "hash", out.hash) || !take(o, "signature", out.signature))
    return bad();
  out.counter = *counter;
  out.time_ms = *time_ms;
  out.writer = static_cast<uint32_t>(*writer);
  return out;
}

}  // namespace

Result<std::string> anchor_line(const Session& session, int64_t time_ms) {
  // A connection of its own sees what is committed, whatever the session's is at.
  SLM_TRY(Database log, Database::open(log_path(session.dir), Database::Mode::kWrite));
  SLM_TRY(const Head head, read_head(log, session.store_id));
  Anchor anchor{session.store_id, head.counter, time_ms, head.hash, session.self_seq, {}};
  SLM_TRY(anchor.signature, crypto::sign(session.self.sign_secret.span(), anchor.signed_bytes()));
  return canonical_json(json::object{{"counter", anchor.counter},
                                     {"hash", to_hex(anchor.hash)},
                                     {"signature", to_hex(anchor.signature)},
                                     {"slmconv_anchor", 1},
                                     {"store", to_hex(anchor.store)},
                                     {"time_ms", anchor.time_ms},
                                     {"writer", anchor.writer}});
}

Status check_anchors(Database& log, const AdminLog& admin, const AnchorCheck& check, VerifyReport& report) {
  std::string_view rest = check.text;
  int64_t number = 0;
  bool own = false;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty()) continue;
    SLM_TRY(const Anchor anchor, parse(line, ++number));
    const IdentityRecord* writer = admin.identity(anchor.writer);
    if (writer == nullptr)
      return fail(ErrorCode::kIntegrity, fmt::format("anchor {} was signed by identity {}, whom the admin's log here "
                                                     "doesn't know: an old copy was put back, or it is another fleet's",
                                                     number, anchor.writer));
    if (!crypto::verify(writer->pub.sign, anchor.signed_bytes(), anchor.signature))
      return fail(ErrorCode::kIntegrity, fmt::format("anchor {} isn't signed by its writer", number));
    SLM_TRY(const Head head, read_head(log, anchor.store));
    if (head.counter == 0 && anchor.store != check.store) continue;  // of a store that isn't here
    SLM_TRY(const auto entry, find_entry(log, anchor.store, anchor.counter));
    if (!entry)
      return fail(ErrorCode::kIntegrity,
                  fmt::format("anchor {} of {} names entry {} of store {}, which ends at {} here: it was truncated or "
                              "rolled back",
                              number, format_utc(anchor.time_ms).substr(0, 16), anchor.counter, to_hex(anchor.store),
                              head.counter));
    if (entry->hash() != anchor.hash)
      return fail(ErrorCode::kIntegrity,
                  fmt::format("entry {} of store {} isn't the one that anchor {} names: the trail was rewritten",
                              anchor.counter, to_hex(anchor.store), number));
    ++report.n_anchors;
    if (anchor.store != check.store) continue;
    own = true;
    if (anchor.counter >= report.anchored_counter) {
      report.anchored_counter = anchor.counter;
      report.anchored_ms = anchor.time_ms;
    }
  }
  if (!check.text.empty() && !own) return fail(ErrorCode::kBadInput, "the anchor file holds no head of this store");
  return {};
}

}  // namespace slm::store
