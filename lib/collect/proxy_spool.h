// Calls that wait for a store that takes none: a file of fixed size, taken at the start, every call in it sealed by
// HPKE to the collector's own identity.
//
// What lies there can be opened with the collector's key, and only with it, until it is in the store: that is the price
// of surviving a restart, bounded by the file's size. The file: "SLMSPOOL", then per call a length (32 bits), the
// encapsulation (32 bytes) and the ciphertext; a length of 0 ends it.
// Errors: kIo (no room, the disk); kIntegrity for what doesn't open, where reading stops.
// Threads: one.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "core/random.h"
#include "crypto/keyfile.h"
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
  ~Spool();
  bool empty() const { return end_ == kHeaderBytes; }
  // False: no room.
  Result<bool> put(const store::NewCall& call);
  // Every call, in order. Stops at what doesn't open: n_damaged() says whether.
  Status read(const std::function<Status(store::NewCall)>& visit);
  bool damaged() const { return damaged_; }
  Status clear();
  // Whether the file at `path` holds calls.
  static bool holds_calls(const std::filesystem::path& path);

 private:
  static constexpr int64_t kHeaderBytes = 8;
  Spool() = default;
  Options options_;
  crypto::Identity identity_;
  std::unique_ptr<Random> random_;
  int fd_ = -1;
  int64_t end_ = kHeaderBytes;
  bool damaged_ = false;
};

}  // namespace slm::collect
