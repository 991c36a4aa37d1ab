// How many calls were begun and how many of them finished, in a file that is mapped into memory: the counts survive the
// end of the process however it ends, and with sync() the machine's too.
//
// One folder per store, `collector/`, with NN.marks (and NN.spool, proxy_spool.h) for each process that records at a
// time; flock tells them apart. The file, little-endian: "SLMMARK1", begun, finished, missed (64 bits each), then what
// a commit under way will make of finished (64 bits), and the tag of its first call (16 bytes). Units: calls. Errors:
// kIo. Threads: begin and take_back from any; the rest from the writer's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "store/store.h"

namespace slm::collect {

class Marks {
 public:
  // Takes the first pair of files that no other process holds.
  static Result<std::unique_ptr<Marks>> open(const std::filesystem::path& folder);
  ~Marks();

  // What the last process left: calls begun and neither stored, spooled nor counted as missed. `is_stored` says whether
  // a call with this tag is in the store. Then starts from 0.
  Result<int64_t> recover(const std::function<Result<bool>(const store::Tag&)>& is_stored);

  void begin();
  void take_back();  // one that was begun isn't
  Status sync();     // what was begun is on the disk
  void will_finish(int64_t n, const store::Tag& first);
  void finish(int64_t n);
  void miss(int64_t n);  // finished, and missed

  const std::filesystem::path& spool_path() const { return spool_path_; }

 private:
  struct Page;
  Marks() = default;
  int fd_ = -1;
  Page* page_ = nullptr;
  std::filesystem::path spool_path_;
};

}  // namespace slm::collect
