// A file of records on the way to the store: of fixed size, taken at the start, every record in it sealed by HPKE to
// the collector's own identity.
//
// What lies there can be opened with the collector's key, and only with it, until it is cleared: that is the price of
// surviving a restart, bounded by the file's size. The file: "SLMSPOOL", then per record a length (32 bits), the
// encapsulation (32 bytes) and the ciphertext; a length of 0 ends it (store/collector_files.h).
// Errors: kLocked (`exclusive`, and another process has it); kIo (no room, the disk). What doesn't open ends a reading.
// Threads: one.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "core/random.h"
#include "crypto/keyfile.h"

namespace slm::collect {

class SealedRecords {
 public:
  struct Options {
    std::filesystem::path path;
    int64_t max_bytes = 0;
    std::string info;        // what the records are: part of what is sealed
    bool sync = false;       // put() returns when the record is on the disk; one that isn't was never put
    bool exclusive = false;  // flock, as long as it is open
  };
  static Result<std::unique_ptr<SealedRecords>> open(Options options, std::shared_ptr<const crypto::Identity> identity);
  ~SealedRecords();
  bool empty() const { return end_ == kHeaderBytes; }
  // False: no room. Without `sync` it is on the disk after sync().
  Result<bool> put(ByteSpan record);
  Status sync();
  // Every record, in order. Stops at what doesn't open: damaged() says whether, and what lies behind is written over.
  Status read(const std::function<Status(ByteSpan)>& visit);
  bool damaged() const { return damaged_; }
  Status clear();

 private:
  static constexpr int64_t kHeaderBytes = 8;
  SealedRecords() = default;
  Options options_;
  std::shared_ptr<const crypto::Identity> identity_;
  std::unique_ptr<Random> random_;
  int fd_ = -1;
  int64_t end_ = kHeaderBytes;
  bool damaged_ = false;
};

// The fields of a record, each behind its length (put_field). False: not there.
bool take_field(ByteSpan& from, ByteSpan& field);

}  // namespace slm::collect
