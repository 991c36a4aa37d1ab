// Requests that an OTLP receiver has acknowledged and whose calls aren't in the store yet: two sealed files, one filled
// while the other's traces end, so that either is cleared as a whole.
//
// Folder `collector/` of the store: NN.a.spool and NN.b.spool, the first NN that no other process holds; an earlier
// process's requests lie there and are read again. Read again means seen twice when the calls were stored meanwhile:
// a call's tag is made of its trace and span, so the store knows it.
// Units: ms of one steady clock; bytes.
// Errors: SealedRecords'; kLocked when 64 processes receive already.
// Threads: any.
#pragma once

#include <array>
#include <mutex>

#include "collect/otlp_intake.h"
#include "collect/sealed_records.h"

namespace slm::collect {

class OtlpJournal {
 public:
  // `max_bytes`: of both files together. A file is left for the other one after `hold_ms` or when it is full.
  static Result<std::unique_ptr<OtlpJournal>> open(const std::filesystem::path& folder, int64_t max_bytes,
                                                   int64_t hold_ms, crypto::Identity identity);
  // Its file, or kNoRoom. Not on the disk before sync().
  Result<int> put(const OtlpRequest& request, int64_t now_ms);
  static constexpr int kNoRoom = -1;
  Status sync();
  // The traces of a request put into `file` are held from now on.
  void taken(int file, int64_t now_ms);
  // Every call of the requests that were taken before then_ms is in the store: clears the files that hold no others.
  Status clear_before(int64_t then_ms);
  // What an earlier process left, as if put and taken now. Text that doesn't open is told and lost.
  Status replay(int64_t now_ms, const std::function<void(const OtlpRequest&)>& visit);

 private:
  struct File {
    std::unique_ptr<SealedRecords> records;
    int64_t n_waiting = 0;  // put and not taken
    int64_t first_put_ms = 0, last_taken_ms = 0;
    bool is_synced = true;
  };
  std::mutex mutex_;
  std::array<File, 2> files_;
  int active_ = 0;
  int64_t hold_ms_ = 0;
};

}  // namespace slm::collect
