// Calls that wait for a store that takes none.
//
// Errors: SealedRecords'; kIntegrity for a record that is no call.
// Threads: one.
#pragma once

#include "collect/sealed_records.h"
#include "store/store.h"

namespace slm::collect {

class Spool {
 public:
  struct Options {
    std::filesystem::path path;
    int64_t max_bytes = 0;
    bool sync = false;  // put() returns when the call is on the disk
  };
  static Result<std::unique_ptr<Spool>> open(Options options, crypto::Identity identity);
  bool empty() const { return file_->empty(); }
  // False: no room.
  Result<bool> put(const store::NewCall& call);
  // Every call, in order.
  Status read(const std::function<Status(store::NewCall)>& visit);
  bool damaged() const { return file_->damaged(); }
  Status clear() { return file_->clear(); }

 private:
  Spool() = default;
  std::unique_ptr<SealedRecords> file_;
};

}  // namespace slm::collect
