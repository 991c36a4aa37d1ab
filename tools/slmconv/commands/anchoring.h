// Signed heads of a store's trail, put off this host: once, or again and again beside other work.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

#include "command.h"
#include "store/store.h"

namespace slm::cli {

// A file to append lines to, or a shell command that gets one on its standard input and must end well.
struct AnchorTarget {
  std::string file, command;
  bool empty() const { return file.empty() && command.empty(); }
};
// Errors: kUsage for both at once, or a file inside the store that it is to vouch for.
Status check_target(const AnchorTarget& to, const std::filesystem::path& store);
// Errors: kIo.
Status put_anchor(const AnchorTarget& to, const std::string& line);

// Anchors every so many seconds in a thread of its own, from the start on. One that can't be put is warned of once in a
// row and counted; the work beside goes on.
class Anchoring {
 public:
  Anchoring(store::Store& store, AnchorTarget to, double every_s);
  ~Anchoring();
  // Puts the last head and adds what was done to the summary; to be called once, when nothing is written any more.
  void finish(Summary& summary);

 private:
  void put();
  void end();

  store::Store& store_;
  const AnchorTarget to_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ended_ = false, failing_ = false;
  int64_t n_put_ = 0, n_failed_ = 0;
  std::thread thread_;
};

}  // namespace slm::cli
