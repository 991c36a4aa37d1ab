// Diagnostics to stderr through spdlog: warnings always, the rest with -v. Never text of a call: pass ids, counts and
// names only.
#pragma once

#include <functional>
#include <string_view>

namespace slm {

enum class LogLevel { kWarn, kInfo };
void set_log_level(LogLevel level);
void log_info(std::string_view message);
void log_warn(std::string_view message);
// A line for the person who waits, e.g. for another process; nothing without a sink.
void log_note(std::string_view message);

// Where warnings and notes go instead of stderr, one at a time; {} is stderr again.
struct LogSink {
  std::function<void(std::string_view)> warn, note;
};
void set_log_sink(LogSink sink);

}  // namespace slm
