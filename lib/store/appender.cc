#include "store/appender.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/kdf.h"
#include "store/commit.h"
#include "store/pseudonym.h"
#include "store/reader.h"
#include "store/tags.h"

namespace slm::store {
namespace {

constexpr size_t kMaxSources = kMaxSeals / 2;  // each has a meta and a body group

class SealedAppender final : public Appender {
 public:
  SealedAppender(Session& session, Store::Space space, const AppendOptions& options)
      : session_(session), space_(space), options_(options) {}

  Status start() {
    // Refuses early what new_entry() would refuse at the first batch.
    SLM_TRY(Random* const random, session_.sealing_random({}));
    SLM_CHECK(new_entry(session_, kind(), *random));
    return refresh_tags().map([](bool) {});
  }

  Result<bool> add(NewCall call) override {
    // A batch that couldn't be committed goes first: what is sealed stays as it is.
    if (sealed_) SLM_CHECK(flush());
    if (tags_.contains(call.tag) || waiting_tags_.contains(call.tag)) {
      ++n_known_;
      return false;
    }
    SLM_TRY(GroupHeader header, header_of(call));
    if (session_.admin.tombstones().contains(header.source)) {
      ++n_erased_;
      return false;
    }
    Source* const source = &sources_[header.source];
    if (source->calls.empty()) source->header = std::move(header);
    waiting_bytes_ += static_cast<int64_t>(call.meta.size() + call.body.size());
    waiting_tags_.insert(call.tag);
    source->calls.push_back(std::move(call));
    ++n_waiting_;
    ++n_added_;
    if (n_waiting_ >= options_.batch_calls || waiting_bytes_ >= options_.batch_bytes || sources_.size() >= kMaxSources)
      SLM_CHECK(flush());
    return true;
  }

  Status flush() override {
    if (n_waiting_ == 0) return {};
    if (!sealed_) SLM_CHECK(seal());
    SLM_TRY(const FileLock lock, session_.lock());
    SLM_CHECK(session_.refresh_admin());
    SLM_TRY(const bool news, refresh_tags());
    // Stored or erased by another process meanwhile, or sealed to an epoch that was replaced: sealed anew.
    const bool dropped = drop_erased() | (news && drop_known());
    if (dropped || !is_current(sealed_->entry)) sealed_.reset();
    if (n_waiting_ == 0) {
      clear();
      return {};
    }
    if (!sealed_) SLM_CHECK(seal());
    SLM_CHECK(commit_locked(session_, *sealed_, lock));
    tags_seen_ = sealed_->entry.n;
    for (const auto& [key, source] : sources_)
      for (const NewCall& call : source.calls) tags_.insert(call.tag);
    clear();
    return {};
  }

  int64_t n_added() const override { return n_added_; }
  int64_t n_known() const override { return n_known_; }
  int64_t n_erased() const override { return n_erased_; }

 private:
  struct Source {
    GroupHeader header;
    std::vector<NewCall> calls;
  };

  EntryKind kind() const { return space_ == Store::Space::kRaw ? EntryKind::kRaw : EntryKind::kCurated; }

  // What its group's header says. A curated call takes its raw group's header: its own source is a pseudonym
  // already.
  Result<GroupHeader> header_of(const NewCall& call) {
    GroupHeader header;
    if (space_ == Store::Space::kCurated && !call.raw_group.empty()) {
      SLM_TRY(header, group_header(session_, call.raw_group));
    } else {
      const auto known = headers_.find(call.source);
      if (known != headers_.end()) {
        header = known->second;
      } else {
        SLM_TRY(header.pseudonym, make_pseudonym(session_, "source", call.source));
        SLM_TRY(const ByteSpan key, session_.current_fleet_secret(FleetKey::kSource));
        header.source = crypto::hmac_sha256(key, {as_bytes(call.source)});
        if (headers_.size() > kMaxSources) headers_.clear();
        headers_[call.source] = header;
      }
    }
    return header;
  }

  bool is_current(const Entry& entry) const {
    const bool raw = space_ == Store::Space::kRaw;
    return entry.meta_epoch ==
               session_.admin.current_epoch(raw ? Partition::kRawMeta : Partition::kCuratedMeta).number &&
           entry.body_epoch == session_.admin.current_epoch(raw ? Partition::kRawBody : Partition::kCuratedBody).number;
  }

  // Removes waiting calls of sources that were erased since; true if there were any.
  bool drop_erased() {
    int64_t dropped = 0;
    for (const auto& [source, seq] : session_.admin.tombstones())
      if (const auto it = sources_.find(source); it != sources_.end()) {
        dropped += static_cast<int64_t>(it->second.calls.size());
        sources_.erase(it);
      }
    n_waiting_ -= dropped;
    n_added_ -= dropped;
    n_erased_ += dropped;
    return dropped > 0;
  }

  // Tags that another process committed for this identity meanwhile. True if there may be some.
  Result<bool> refresh_tags() {
    SLM_TRY(const int64_t head, session_.db.log.integer("SELECT max(n) FROM entries"));
    if (head == tags_seen_) return false;
    SLM_TRY(tags_seen_, load_tags(session_.db.log, {kind(), session_.self_seq, tags_seen_}, tags_));
    return true;
  }

  // Removes waiting calls that are stored by now; true if there were any.
  bool drop_known() {
    int64_t dropped = 0;
    for (auto it = sources_.begin(); it != sources_.end();) {
      dropped += static_cast<int64_t>(
          std::erase_if(it->second.calls, [&](const NewCall& call) { return tags_.contains(call.tag); }));
      it = it->second.calls.empty() ? sources_.erase(it) : std::next(it);
    }
    n_waiting_ -= dropped;
    n_added_ -= dropped;
    n_known_ += dropped;
    return dropped > 0;
  }

  // Seals what waits. Nothing sealed here is sealed again: a retry commits the same bytes.
  Status seal() {
    Bytes context;
    for (const auto& [key, source] : sources_)
      for (const NewCall& call : source.calls) put_bytes(context, call.tag);
    SLM_TRY(Random* const random, session_.sealing_random(context));
    Pending pending;
    SLM_TRY(pending.entry, new_entry(session_, kind(), *random));
    const bool raw = space_ == Store::Space::kRaw;
    const Partition meta = raw ? Partition::kRawMeta : Partition::kCuratedMeta,
                    body = raw ? Partition::kRawBody : Partition::kCuratedBody;
    Entry& entry = pending.entry;
    entry.meta_epoch = session_.admin.current_epoch(meta).number;
    entry.body_epoch = session_.admin.current_epoch(body).number;
    entry.action = "append";
    entry.n_calls = n_waiting_;
    for (const auto& [key, source] : sources_) {
      ContextColumns columns{entry.store, entry.batch, {}, meta, entry.meta_epoch, entry.schema, entry.hour, {}};
      random->fill(columns.group);
      const Bytes header = encode_header(source.header);
      std::vector<std::string> records;
      records.reserve(source.calls.size());
      std::vector<Piece> meta_pieces{{0, Slice::kHeader, {}, as_text(header)}}, body_pieces;
      std::vector<Id16> raw_groups;
      for (uint32_t i = 0; i < source.calls.size(); ++i) {
        const NewCall& call = source.calls[i];
        records.push_back(std::string(as_text(call.id.bytes)) + call.meta);
        meta_pieces.push_back({i, 0, call.tag, records.back()});
        body_pieces.push_back({i, 0, call.tag, call.body});
        if (!call.raw_group.empty()) {
          SLM_TRY(const Id16 name, parse_group(call.raw_group));
          raw_groups.push_back(name);
        }
      }
      std::sort(raw_groups.begin(), raw_groups.end());
      raw_groups.erase(std::unique(raw_groups.begin(), raw_groups.end()), raw_groups.end());
      Bytes refs;
      for (const Id16& name : raw_groups) put_bytes(refs, name);
      SLM_TRY(auto meta_group, seal_group(session_.admin, {columns, refs, meta_pieces}, *random));
      columns.partition = body;
      columns.epoch = entry.body_epoch;
      SLM_TRY(auto body_group, seal_group(session_.admin, {columns, refs, body_pieces}, *random));
      pending.groups.push_back(std::move(meta_group));
      pending.groups.push_back(std::move(body_group));
    }
    finish_leaves(pending);
    sealed_ = std::move(pending);
    return {};
  }

  void clear() {
    sources_.clear();
    waiting_tags_ = {};
    sealed_.reset();
    n_waiting_ = waiting_bytes_ = 0;
  }

  Session& session_;
  const Store::Space space_;
  const AppendOptions options_;
  TagSet tags_, waiting_tags_;
  int64_t tags_seen_ = 0;             // row of the last entry whose tags are in tags_
  std::map<Digest, Source> sources_;  // waiting, by HMAC of the source
  std::unordered_map<std::string, GroupHeader> headers_;
  std::optional<Pending> sealed_;
  int64_t n_waiting_ = 0, waiting_bytes_ = 0, n_added_ = 0, n_known_ = 0, n_erased_ = 0;
};

}  // namespace

Result<std::unique_ptr<Appender>> make_appender(Session& session, Store::Space space, const AppendOptions& options) {
  if (options.batch_calls < 1 || options.batch_bytes < 1)
    return fail(ErrorCode::kUsage, fmt::format("a batch of {} calls and {} bytes: both must be at least 1",
                                               options.batch_calls, options.batch_bytes));
  auto out = std::make_unique<SealedAppender>(session, space, options);
  SLM_CHECK(out->start());
  return out;
}

}  // namespace slm::store
