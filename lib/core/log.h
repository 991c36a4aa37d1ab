// Diagnostics to stderr through spdlog, off unless -v. Never text of a call: pass ids, counts and names only.
#pragma once

#include <string_view>

namespace slm {

enum class LogLevel { kQuiet, kWarn, kInfo, kDebug };
void set_log_level(LogLevel level);
void log_info(std::string_view message);
void log_debug(std::string_view message);
void log_warn(std::string_view message);

}  // namespace slm
