// Diagnostics to stderr through spdlog: warnings always, the rest with -v. Never text of a call: pass ids, counts and
// names only.
#pragma once

#include <string_view>

namespace slm {

enum class LogLevel { kWarn, kInfo };
void set_log_level(LogLevel level);
void log_info(std::string_view message);
void log_warn(std::string_view message);

}  // namespace slm
