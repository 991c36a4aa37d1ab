#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <mutex>

namespace slm {
namespace {
spdlog::logger& logger() {
  static auto instance = [] {
    auto l = std::make_shared<spdlog::logger>("slmconv", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    l->set_pattern("%l: %v");
    l->set_level(spdlog::level::warn);
    return l;
  }();
  return *instance;
}

std::mutex sink_mutex;
LogSink sink;
}  // namespace

void set_log_level(LogLevel level) {
  logger().set_level(level == LogLevel::kInfo ? spdlog::level::info : spdlog::level::warn);
}
void log_info(std::string_view message) { logger().info("{}", message); }
void log_warn(std::string_view message) {
  const std::lock_guard lock(sink_mutex);
  if (sink.warn)
    sink.warn(message);
  else
    logger().warn("{}", message);
}
void log_note(std::string_view message) {
  const std::lock_guard lock(sink_mutex);
  if (sink.note) sink.note(message);
}
void set_log_sink(LogSink given) {
  const std::lock_guard lock(sink_mutex);
  sink = std::move(given);
}

}  // namespace slm
