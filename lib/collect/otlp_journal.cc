#include "collect/otlp_journal.h"

#include <fmt/format.h>

#include "core/file.h"
#include "core/log.h"

namespace slm::collect {

namespace {

constexpr const char* kInfo = "slmconv collector otlp 1";
constexpr int kMostProcesses = 64;

Bytes encode(const OtlpRequest& request) {
  Bytes out;
  for (const std::string_view text : {request.path, request.content_type, request.body}) put_field(out, as_bytes(text));
  return out;
}

bool decode(ByteSpan from, OtlpRequest& request) {
  request.method = "POST";
  for (std::string_view* text : {&request.path, &request.content_type, &request.body}) {
    ByteSpan field;
    if (!take_field(from, field)) return false;
    *text = as_text(field);
  }
  return from.empty();
}

}  // namespace

Result<std::unique_ptr<OtlpJournal>> OtlpJournal::open(const std::filesystem::path& folder, int64_t max_bytes,
                                                       int64_t hold_ms, crypto::Identity identity) {
  SLM_CHECK(make_dirs(folder, 0700));
  const auto shared = std::make_shared<const crypto::Identity>(std::move(identity));
  for (int i = 0; i < kMostProcesses; ++i) {
    std::unique_ptr<OtlpJournal> journal(new OtlpJournal);
    journal->hold_ms_ = hold_ms;
    Status opened;
    for (int f = 0; f < 2 && opened; ++f) {
      const auto path = folder / fmt::format("{:02}.{}.spool", i, f == 0 ? 'a' : 'b');
      auto records = SealedRecords::open({path, max_bytes / 2, kInfo, false, true}, shared);
      if (records)
        journal->files_[static_cast<size_t>(f)].records = std::move(*records);
      else
        opened = fail(records.error());
    }
    if (!opened && opened.error().code == ErrorCode::kLocked) continue;
    SLM_CHECK(opened);
    SLM_CHECK(fsync_dir(folder));
    return journal;
  }
  return fail(ErrorCode::kLocked,
              fmt::format("{}: {} processes receive for this store already", folder.string(), kMostProcesses));
}

Result<int> OtlpJournal::put(const OtlpRequest& request, int64_t now_ms) {
  const Bytes record = encode(request);
  const std::lock_guard lock(mutex_);
  const int other = 1 - active_;
  const auto records_of = [&](int f) -> SealedRecords& { return *files_[static_cast<size_t>(f)].records; };
  const bool may_turn = !records_of(active_).empty() && records_of(other).empty();
  if (may_turn && files_[static_cast<size_t>(active_)].first_put_ms + hold_ms_ < now_ms) active_ = other;
  SLM_TRY(bool fits, records_of(active_).put(record));
  if (!fits && may_turn && active_ != other) {
    active_ = other;
    SLM_TRY(fits, records_of(active_).put(record));
  }
  if (!fits) return kNoRoom;
  File& file = files_[static_cast<size_t>(active_)];
  if (file.first_put_ms == 0) file.first_put_ms = now_ms;
  ++file.n_waiting;
  file.is_synced = false;
  return active_;
}

Status OtlpJournal::sync() {
  const std::lock_guard lock(mutex_);
  for (File& file : files_) {
    if (file.is_synced) continue;
    SLM_CHECK(file.records->sync());
    file.is_synced = true;
  }
  return {};
}

void OtlpJournal::taken(int file, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  File& of = files_[static_cast<size_t>(file)];
  --of.n_waiting;
  of.last_taken_ms = now_ms;
}

Status OtlpJournal::clear_before(int64_t then_ms) {
  const std::lock_guard lock(mutex_);
  for (File& file : files_) {
    if (file.records->empty() || file.n_waiting > 0 || file.last_taken_ms >= then_ms) continue;
    SLM_CHECK(file.records->clear());
    file.first_put_ms = 0;
  }
  return {};
}

Status OtlpJournal::replay(int64_t now_ms, const std::function<void(const OtlpRequest&)>& visit) {
  const std::lock_guard lock(mutex_);
  int64_t n = 0;
  for (File& file : files_) {
    bool is_whole = true;
    SLM_CHECK(file.records->read([&](ByteSpan record) -> Status {
      OtlpRequest request;
      is_whole = decode(record, request) && is_whole;
      visit(request);  // without a path it is none
      ++n;
      return {};
    }));
    if (file.records->damaged() || !is_whole) log_warn("the journal's end doesn't open; what lies there is lost");
    if (!file.records->empty()) file.first_put_ms = file.last_taken_ms = now_ms;
  }
  if (n > 0) log_note(fmt::format("{} requests that an earlier run had acknowledged are read again", n));
  return {};
}

}  // namespace slm::collect
