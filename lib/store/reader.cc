#include "store/reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/erased.h"

namespace slm::store {
namespace {

constexpr int64_t kHeadersAtOnce = 256;

struct SpaceParts {
  EntryKind kind;
  Partition meta, body;
  const char* name;
};
const SpaceParts& parts_of(Store::Space space) {
  static constexpr SpaceParts kRaw{EntryKind::kRaw, Partition::kRawMeta, Partition::kRawBody, "raw"};
  static constexpr SpaceParts kCurated{EntryKind::kCurated, Partition::kCuratedMeta, Partition::kCuratedBody,
                                       "curated"};
  return space == Store::Space::kRaw ? kRaw : kCurated;
}

// Calls `each` for the entries of one kind in [from, to], checking the links of all entries on the way.
Status walk(Session& session, EntryKind kind, int64_t from, int64_t to,
            const std::function<Result<bool>(const Entry&)>& each) {
  int64_t next = std::max<int64_t>(1, from - 1);
  Chains chains(next == 1);
  while (next <= to) {
    SLM_TRY(const auto entries, read_entries(session.db.log, next, std::min(kHeadersAtOnce, to - next + 1)));
    if (entries.empty()) return fail(ErrorCode::kIntegrity, fmt::format("entry {} is missing from the trail", next));
    for (const Entry& entry : entries) {
      SLM_CHECK(chains.follow(entry, next));
      ++next;
      if (entry.n < from || entry.kind != kind) continue;
      if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted while reading the store");
      SLM_CHECK(session.check(entry));
      SLM_TRY(const bool more, each(entry));
      if (!more) return {};
    }
  }
  return {};
}

// An entry's groups, all of them: pairs of a meta and a body group of one name.
Result<std::vector<SealRow>> read_group_pairs(Session& session, const Entry& entry, const SpaceParts& parts) {
  SLM_TRY(auto seals, read_seals(session.db.log, entry.n));
  bool good = seals.size() % 2 == 0 && !seals.empty();
  for (size_t i = 0; good && i < seals.size(); i += 2)
    good = seals[i].partition == parts.meta && seals[i + 1].partition == parts.body &&
           seals[i].group == seals[i + 1].group;
  if (!good)
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: its groups aren't pairs of meta and body", entry.n));
  SLM_CHECK(check_groups(entry, seals));
  return seals;
}

// Calls in a group's frames put together again, in order. With `wanted` (sorted indexes) only these.
class CallStream {
 public:
  CallStream(GroupReader& reader, const std::vector<uint32_t>* wanted) : reader_(reader), wanted_(wanted) {}

  struct Item {
    uint32_t index = 0;
    bool header = false;
    Tag tag{};
    std::string text;
  };
  // False at the end.
  Result<bool> next(Item& item) {
    item = {};
    while (true) {
      if (at_ == opened_.slices.size()) {
        SLM_TRY(const bool more, next_frame());
        if (!more) {
          if (partial_) return fail(ErrorCode::kIntegrity, "a call ends in the middle");
          return false;
        }
      }
      const Slice& slice = opened_.slices[at_++];
      const std::string_view text = std::string_view(opened_.text).substr(offset_, slice.size);
      offset_ += slice.size;
      const bool header = (slice.flags & Slice::kHeader) != 0;
      if (!header && !is_wanted(slice.index)) continue;
      if (partial_ && (slice.index != item.index || slice.tag != item.tag))
        return fail(ErrorCode::kIntegrity, "a call ends in the middle");
      item.index = slice.index;
      item.header = header;
      item.tag = slice.tag;
      item.text.append(text);
      partial_ = (slice.flags & Slice::kMore) != 0;
      if (!partial_) return true;
    }
  }

 private:
  bool is_wanted(uint32_t index) const {
    return wanted_ == nullptr || std::binary_search(wanted_->begin(), wanted_->end(), index);
  }

  Result<bool> next_frame() {
    while (seq_ < reader_.n_frames()) {
      SLM_TRY(opened_, reader_.read(seq_++, wanted_));
      at_ = offset_ = 0;
      if (!opened_.slices.empty()) return true;
    }
    return false;
  }

  GroupReader& reader_;
  const std::vector<uint32_t>* wanted_;
  GroupReader::Opened opened_;
  size_t at_ = 0, offset_ = 0;
  int64_t seq_ = 0;
  bool partial_ = false;
};

struct GroupRequest {
  const Entry* entry = nullptr;
  const std::vector<Digest>* leaves = nullptr;
  const SealRow* meta = nullptr;
  const SealRow* body = nullptr;  // null: meta only
  const std::vector<uint32_t>* wanted = nullptr;
};

// Visits the calls of one group. False: the visitor wants no more.
Result<bool> read_group(Session& session, const GroupRequest& request,
                        const std::function<Result<bool>(uint32_t, StoredCall&)>& visit) {
  SLM_TRY(auto meta_reader, GroupReader::open(session, *request.entry, *request.leaves, *request.meta));
  CallStream metas(meta_reader, request.wanted);
  std::optional<GroupReader> body_reader;
  std::optional<CallStream> bodies;
  if (request.body != nullptr) {
    SLM_TRY(auto opened, GroupReader::open(session, *request.entry, *request.leaves, *request.body));
    body_reader.emplace(std::move(opened));
    bodies.emplace(*body_reader, request.wanted);
  }
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kIntegrity, fmt::format("entry {}: {}", request.entry->n, what));
  };
  const std::string group = to_hex(request.meta->group);
  std::string pseudonym;
  CallStream::Item meta, body;
  while (true) {
    SLM_TRY(const bool more, metas.next(meta));
    if (!more) break;
    if (meta.header) {
      SLM_TRY(GroupHeader header, decode_header(meta.text));
      pseudonym = header.pseudonym;
      // Of a source that was erased before this group came: passed over, and erased at the end of a curator's scan.
      const auto tombstone = session.admin.tombstones().find(header.source);
      if (tombstone != session.admin.tombstones().end() && request.meta->partition == Partition::kRawMeta) {
        session.found[tombstone->second].insert(request.meta->group);
        return true;
      }
      session.remember(request.meta->group, std::move(header));
      continue;
    }
    if (meta.text.size() < 16) return bad("the meta of a call is too short");
    StoredCall call;
    std::copy_n(meta.text.begin(), 16, call.id.bytes.begin());
    call.tag = meta.tag;
    call.source = pseudonym;
    call.group = group;
    call.meta = meta.text.substr(16);
    if (bodies) {
      SLM_TRY(const bool has_body, bodies->next(body));
      if (!has_body || body.index != meta.index || body.tag != meta.tag)
        return bad("meta and body of a call don't match");
      call.body = std::move(body.text);
    }
    SLM_TRY(const bool go_on, visit(meta.index, call));
    if (!go_on) return false;
  }
  if (bodies) {
    SLM_TRY(const bool left_over, bodies->next(body));
    if (left_over) return bad("a body has no meta");
  }
  return true;
}

struct EntryRequest {
  const Entry* entry = nullptr;
  const SpaceParts* parts = nullptr;
  bool body = false;
};
// Visits all calls of an entry, with the seal of their meta group. False: the visitor wants no more.
Result<bool> read_all(Session& session, const EntryRequest& request,
                      const std::function<Result<bool>(const CallIndex::Place&, StoredCall&)>& visit) {
  const Entry& entry = *request.entry;
  SLM_TRY(const auto leaves, read_leaves(session.db.log, entry));
  SLM_TRY(const auto seals, read_group_pairs(session, entry, *request.parts));
  int64_t n_calls = 0;
  bool whole = true;
  for (size_t i = 0; i < seals.size(); i += 2) {
    if (session.erased.contains(seals[i].group)) {
      whole = false;
      continue;
    }
    const GroupRequest group{&entry, &leaves, &seals[i], request.body ? &seals[i + 1] : nullptr, nullptr};
    SLM_TRY(const bool more, read_group(session, group, [&](uint32_t index, StoredCall& call) {
              ++n_calls;
              return visit({call.id, seals[i].seal, index}, call);
            }));
    if (!more) return false;
    for (const auto& [tombstone, groups] : session.found) whole &= !groups.contains(seals[i].group);
  }
  if (whole ? n_calls != entry.n_calls : n_calls > entry.n_calls)
    return fail(ErrorCode::kIntegrity,
                fmt::format("entry {}: it says {} calls and holds {}", entry.n, entry.n_calls, n_calls));
  return true;
}

Result<int64_t> log_read(Session& session, const ScanRequest& request, int64_t to) {
  const SpaceParts& parts = parts_of(request.space);
  const ScanOptions& options = *request.options;
  SLM_TRY(Statement stmt,
          session.db.log.prepare("SELECT ifnull(sum(n_calls), 0) FROM entries WHERE n BETWEEN ? AND ? AND kind = ?"));
  SLM_TRY(const bool row,
          stmt.bind(1, options.from_batch).bind(2, to).bind(3, static_cast<int64_t>(parts.kind)).step());
  const int64_t in_range = row ? stmt.integer(0) : 0;
  stmt.reset();
  Act act;
  act.action = "read";
  act.n_calls = options.only == nullptr ? in_range : static_cast<int64_t>(options.only->size());
  act.facts = {{"body", options.body},
               {"chosen", options.only != nullptr},
               {"from", std::max<int64_t>(1, options.from_batch)},
               {"space", parts.name},
               {"to", to}};
  act.details = options.purpose;
  SLM_TRY(const Entry entry, commit_act(session, act));
  return entry.counter;
}

}  // namespace

Status CallIndex::extend(Session& session, Store::Space space, int64_t to) {
  if (to <= upto_) return {};
  const SpaceParts& parts = parts_of(space);
  const size_t before = places_.size();
  const auto index_entry = [&](const Entry& entry) {
    return read_all(session, {&entry, &parts, false}, [&](const Place& place, StoredCall&) -> Result<bool> {
      places_.push_back(place);
      return true;
    });
  };
  const Status walked = walk(session, parts.kind, upto_ + 1, to, index_entry);
  if (!walked) {
    places_.resize(before);
    return walked;
  }
  const auto by_id = [](const Place& a, const Place& b) { return a.id < b.id; };
  const auto middle = places_.begin() + static_cast<std::ptrdiff_t>(before);
  std::sort(middle, places_.end(), by_id);
  std::inplace_merge(places_.begin(), middle, places_.end(), by_id);
  upto_ = to;
  return {};
}

std::vector<CallIndex::Place> CallIndex::find(const std::vector<CallId>& ids) const {
  std::vector<Place> out;
  for (const CallId& id : ids) {
    auto it =
        std::lower_bound(places_.begin(), places_.end(), id, [](const Place& p, const CallId& v) { return p.id < v; });
    for (; it != places_.end() && it->id == id; ++it) out.push_back(*it);
  }
  std::sort(out.begin(), out.end(),
            [](const Place& a, const Place& b) { return std::tie(a.seal, a.index) < std::tie(b.seal, b.index); });
  out.erase(std::unique(out.begin(), out.end(),
                        [](const Place& a, const Place& b) { return a.seal == b.seal && a.index == b.index; }),
            out.end());
  return out;
}

namespace {

Status scan_chosen(Session& session, CallIndex& index, const ScanRequest& request, int64_t to) {
  const SpaceParts& parts = parts_of(request.space);
  SLM_CHECK(index.extend(session, request.space, to));
  const auto places = index.find(*request.options->only);
  std::vector<SealRow> seals;
  std::vector<Digest> leaves;
  Entry entry;
  for (size_t i = 0; i < places.size();) {
    const int64_t seal = places[i].seal, n = seal >> 16;
    std::vector<uint32_t> wanted;
    for (; i < places.size() && places[i].seal == seal; ++i) wanted.push_back(places[i].index);
    if (n < request.options->from_batch || n > to) continue;
    if (entry.n != n) {
      SLM_TRY(auto entries, read_entries(session.db.log, n, 1));
      if (entries.empty() || entries[0].n != n)
        return fail(ErrorCode::kIntegrity, fmt::format("entry {} is missing from the trail", n));
      entry = std::move(entries[0]);
      SLM_CHECK(session.check(entry));
      SLM_TRY(leaves, read_leaves(session.db.log, entry));
      SLM_TRY(seals, read_group_pairs(session, entry, parts));
    }
    const auto at = static_cast<size_t>(seal & 0xffff);
    if (at < seals.size() && session.erased.contains(seals[at].group)) continue;
    if (at + 1 >= seals.size() || seals[at].seal != seal)
      return fail(ErrorCode::kIntegrity, fmt::format("entry {} lost a group", n));
    const GroupRequest group{&entry, &leaves, &seals[at], request.options->body ? &seals[at + 1] : nullptr, &wanted};
    size_t n_calls = 0;
    SLM_TRY(const bool more, read_group(session, group, [&](uint32_t, StoredCall& call) {
              ++n_calls;
              return (*request.visit)(call);
            }));
    if (!more) return {};
    bool gone = false;
    for (const auto& [tombstone, groups] : session.found) gone |= groups.contains(seals[at].group);
    if (n_calls != wanted.size() && !gone)
      return fail(ErrorCode::kIntegrity,
                  fmt::format("entry {}: a group holds {} of {} chosen calls", n, n_calls, wanted.size()));
  }
  return {};
}

}  // namespace

Status scan_calls(Session& session, CallIndex& index, const ScanRequest& request) {
  const SpaceParts& parts = parts_of(request.space);
  SLM_CHECK(session.refresh_admin());
  // Whether this identity may is a fact of its keys, found out before anything is logged or read.
  SLM_CHECK(session.secret({what_of(parts.meta), session.admin.current_epoch(parts.meta).number}));
  if (request.options->body)
    SLM_CHECK(session.secret({what_of(parts.body), session.admin.current_epoch(parts.body).number}));
  SLM_TRY(const int64_t to, session.db.log.integer("SELECT max(n) FROM entries"));
  SLM_TRY(const int64_t logged, log_read(session, request, to));
  session.reads.push_back(logged);
  SLM_CHECK(refresh_erased(session));
  const size_t n_erased = session.erased.size();
  const auto scan = [&]() -> Status {
    if (request.options->only != nullptr) return scan_chosen(session, index, request, to);
    return walk(session, parts.kind, std::max<int64_t>(1, request.options->from_batch), to, [&](const Entry& entry) {
      return read_all(session, {&entry, &parts, request.options->body},
                      [&](const CallIndex::Place&, StoredCall& call) { return (*request.visit)(call); });
    });
  };
  auto done = scan();
  if (!done) {
    SLM_CHECK(refresh_erased(session));
    if (done.error().code == ErrorCode::kIntegrity && session.erased.size() > n_erased)
      return fail(ErrorCode::kLocked, "calls were erased while they were read", "run the command again");
    return done;
  }
  const bool rest = !session.found.empty() || !session.erased_of.empty();
  if (session.role != Role::kCurator || request.space != Store::Space::kRaw || !rest) return {};
  return erase_rest(session);
}

Result<Id16> parse_group(std::string_view hex) {
  const auto bytes = from_hex(hex);
  if (!bytes || bytes->size() != 16)
    return fail(ErrorCode::kBadInput,
                fmt::format("a group's name has 32 hexadecimal digits, not {} characters", hex.size()));
  Id16 out;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

Result<GroupHeader> group_header(Session& session, const std::string& name) {
  SLM_TRY(const Id16 group, parse_group(name));
  if (const auto it = session.headers.find(group); it != session.headers.end()) return it->second;
  SLM_TRY(Statement stmt, session.db.log.prepare("SELECT seal FROM seals WHERE grp = ? AND partition = ?"));
  SLM_TRY(const bool row, stmt.bind(1, ByteSpan(group)).bind(2, int64_t{what_of(Partition::kRawMeta)}).step());
  if (!row) return fail(ErrorCode::kBadInput, fmt::format("there is no raw group {}", name));
  const int64_t seal = stmt.integer(0);
  stmt.reset();
  SLM_TRY(const auto entries, read_entries(session.db.log, seal >> 16, 1));
  SLM_TRY(const auto seals, read_seals(session.db.log, seal >> 16));
  const auto at = static_cast<size_t>(seal & 0xffff);
  if (entries.empty() || at >= seals.size() || seals[at].seal != seal)
    return fail(ErrorCode::kIntegrity, fmt::format("raw group {} has no entry", name));
  SLM_CHECK(session.check(entries[0]));
  SLM_TRY(const auto leaves, read_leaves(session.db.log, entries[0]));
  SLM_TRY(auto reader, GroupReader::open(session, entries[0], leaves, seals[at]));
  SLM_TRY(const auto opened, reader.read(0));
  if (opened.slices.empty() || (opened.slices[0].flags & Slice::kHeader) == 0)
    return fail(ErrorCode::kIntegrity, fmt::format("raw group {} lacks its header", name));
  SLM_TRY(GroupHeader header, decode_header(std::string_view(opened.text).substr(0, opened.slices[0].size)));
  session.remember(group, header);
  return header;
}

}  // namespace slm::store
