// Records apart from the forwarding path: exchanges are queued, and one thread makes calls of them and commits them.
//
// durable: finish() calls back when the call is committed, and begin() when its mark is on the disk.
// fast:    committed at most 100 ms later; marks survive the end of the process, not of the machine. When calls end
// faster
//          than they can be committed, new requests are held (at most 250 ms each); nothing is dropped for it.
// A call that is begun is finished: stored, spooled or counted as missed. What was begun and never finished because the
// process was killed is reported by the next start (proxy_marks.h).
// Memory: bodies being recorded and waiting, at most max_bytes over all calls.
// Errors: start: kIo, and what the store returns. Later the policy decides: open goes on and counts what is missed,
//   spool keeps calls in a sealed file, closed turns requests away. The same for marks that don't reach the disk
//   (durable): closed doesn't forward the request, the others forward it and count it as unmarked.
// Threads: any, but start and stop.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "call/recording.h"
#include "store/store.h"

namespace slm::collect {

enum class Durability { kFast, kDurable };
enum class OnStoreFailure { kOpen, kSpool, kClosed };

struct RecorderOptions {
  Durability durability = Durability::kFast;
  OnStoreFailure on_failure = OnStoreFailure::kOpen;
  bool no_hci = false;                         // calls whose answer speaks to a human aren't kept
  int64_t max_bytes = int64_t{256} << 20;      // of bodies in memory
  int64_t max_call_bytes = int64_t{16} << 20;  // of one call's request and response
  int64_t spool_bytes = int64_t{256} << 20;
  std::filesystem::path key_file;      // of the collector's identity: what the spool is sealed to
  double commit_ms = 40;               // fast: how long calls are gathered for one batch; well under 100
  std::function<Status()> sync_marks;  // in place of the sync of the marks' file: a disk that fails, for tests
};

struct RecorderCounts {
  std::atomic<int64_t> begun{0}, stored{0}, missed{0}, spooled{0}, excluded{0}, failed_calls{0}, partial{0},
      truncated{0}, undecoded{0}, commits{0}, commit_errors{0}, waiting{0}, waiting_bytes{0}, held{0}, unmarked{0},
      lost_before{0};
  std::atomic<int64_t> commit_us_sum{0}, commit_us_max{0};  // from the end of a call to its commit, durable only
};

class Recorder {
 public:
  static Result<std::unique_ptr<Recorder>> start(store::Store& store, RecorderOptions options);
  virtual ~Recorder() = default;

  // False while requests must be turned away (closed, and the store fails).
  virtual bool admits() const = 0;
  // Marks a call as begun. True: it may be forwarded now; else `go` runs on another thread when that is known, with
  // whether it may. One that may not is taken back, or finished all the same.
  virtual bool begin(std::function<void(bool may)> go) = 0;
  virtual void take_back() = 0;
  // Takes a begun call. `committed` (may be empty) runs on another thread: whether the call may be acknowledged.
  virtual void finish(Exchange exchange, std::function<void(bool)> committed) = 0;
  // Asks for room in memory; what was granted is given back when finish() is through with the call.
  virtual bool reserve(int64_t n_bytes) = 0;

  virtual const RecorderOptions& options() const = 0;
  virtual const RecorderCounts& counts() const = 0;
  virtual bool failing() const = 0;
  // Commits what waits. Errors: what the store returned last; those calls are counted as missed.
  virtual Status stop() = 0;
};

}  // namespace slm::collect
