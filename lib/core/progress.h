// Progress and interruption, as interfaces: steps report, the command line shows.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace slm {

// Threads: one at a time.
class Progress {
 public:
  virtual ~Progress() = default;
  // total 0 = not known. `label` names the work, never text of a call.
  virtual void start(std::string_view label, uint64_t total) = 0;
  virtual void advance(uint64_t done, std::string_view note = {}) = 0;
  virtual void finish() = 0;
  // A line for the person, e.g. "no new calls since the last run".
  virtual void note(std::string_view line) = 0;
  // A warning: shown, and a "warning" message under --json.
  virtual void warn(std::string_view line) = 0;
};
// Says nothing.
Progress& null_progress();

// Set by SIGINT and SIGTERM; long loops look at it between units of work and return kInterrupted.
std::atomic<bool>& interrupt_flag();
inline bool interrupted() { return interrupt_flag().load(std::memory_order_relaxed); }

}  // namespace slm
