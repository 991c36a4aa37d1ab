// Time, passed in. Units: milliseconds since the Unix epoch, UTC; monotonic seconds for durations.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.h"

namespace slm {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t now_ms() = 0;      // wall clock
  virtual double monotonic_s() = 0;  // for durations
};
std::unique_ptr<Clock> system_clock();
// Starts at now_ms and advances by step_ms at every now_ms() call; monotonic_s likewise. For tests and --demo-seed.
std::unique_ptr<Clock> fixed_clock(int64_t now_ms, int64_t step_ms = 0);

// "2026-11-22T16:25:54.123Z"
std::string format_utc(int64_t time_ms);
// Reads RFC 3339 ("2026-11-22T16:25:54Z", offset or fraction allowed, a space for the T), or a number of seconds or
// milliseconds since the epoch (told apart by size). Errors: kBadInput.
Result<int64_t> parse_time_ms(std::string_view text);

}  // namespace slm
