// A thread that signals pass by: they are for the thread that waits for them, whose waits they end.
#pragma once

#include <signal.h>

#include <thread>
#include <utility>

namespace slm {

template <class Work>
std::thread quiet_thread(Work work) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);  // a thread begins with its maker's mask
  std::thread thread(std::move(work));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace slm
