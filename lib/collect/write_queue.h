// Calls on their way to the store: one thread reads, another one names, seals and commits.
//
// Memory: 4 MiB of calls that wait, or one longer call; add() waits while there is no room.
// Errors: what CallWriter returns, at an add() or at finish(); after one, what follows is dropped.
// Threads: one thread calls; the store and the writer are the queue's own until finish().
#pragma once

#include <memory>

#include "collect/call_writer.h"

namespace slm::collect {

class WriteQueue {
 public:
  static Result<std::unique_ptr<WriteQueue>> open(store::Store& store, const store::AppendOptions& options);
  ~WriteQueue();

  Status add(ReadCall read);
  void begin_input();  // as CallWriter's, for the calls that follow
  // Waits until all is committed, unless an error was met, and ends the thread: to be called once.
  Status finish();

  // Once finished.
  int64_t n_added() const;
  int64_t n_known() const;
  int64_t n_erased() const;

 private:
  struct Impl;
  explicit WriteQueue(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slm::collect
