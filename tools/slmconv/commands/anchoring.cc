#include "commands/anchoring.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "core/file.h"
#include "core/log.h"

namespace slm::cli {

namespace {

Status send_to(const std::string& command, const std::string& line) {
  FILE* pipe = popen(command.c_str(), "we");
  if (pipe == nullptr) return fail(ErrorCode::kIo, fmt::format("running {} failed", command));
  // Flushed here: a command that ends without reading may still end well, and closing wouldn't say so.
  const bool written = std::fputs((line + "\n").c_str(), pipe) >= 0 && std::fflush(pipe) == 0;
  const int rc = pclose(pipe);
  if (!written || rc != 0) return fail(ErrorCode::kIo, fmt::format("{} didn't take the anchor", command));
  return {};
}

Status append_line(const std::string& file, const std::string& line) {
  FILE* out = std::fopen(file.c_str(), "ae");
  if (out == nullptr) return fail(errno_error(file, "opening"));
  const bool good = std::fputs((line + "\n").c_str(), out) >= 0 && std::fflush(out) == 0 && fsync(fileno(out)) == 0;
  Error error = errno_error(file, "writing");
  if (std::fclose(out) != 0 || !good) return fail(std::move(error));
  return {};
}

}  // namespace

Status check_target(const AnchorTarget& to, const std::filesystem::path& store) {
  if (!to.file.empty() && !to.command.empty())
    return fail(ErrorCode::kUsage, "an anchor goes to a file or through a command, one of them");
  if (to.file.empty()) return {};
  SLM_TRY(const bool inside, lies_in(to.file, store));
  if (inside) return fail(ErrorCode::kUsage, fmt::format("{} lies in the store that it is to vouch for", to.file));
  return {};
}

Status put_anchor(const AnchorTarget& to, const std::string& line) {
  return to.file.empty() ? send_to(to.command, line) : append_line(to.file, line);
}

Anchoring::Anchoring(store::Store& store, AnchorTarget to, double every_s) : store_(store), to_(std::move(to)) {
  if (to_.empty()) return;
  thread_ = std::thread([this, every_s] {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      lock.unlock();
      put();
      lock.lock();
      wake_.wait_for(lock, std::chrono::duration<double>(every_s), [this] { return ended_; });
    }
  });
}

Anchoring::~Anchoring() { end(); }

void Anchoring::end() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Anchoring::put() {
  Status done;
  if (const auto line = store_.anchor(); line)
    done = put_anchor(to_, *line);
  else
    done = fail(line.error());
  n_put_ += done.has_value();
  n_failed_ += !done.has_value();
  if (!done && !failing_) log_warn(fmt::format("no anchor: {}; it is tried again", done.error().message));
  failing_ = !done.has_value();
}

void Anchoring::finish(Summary& summary) {
  if (to_.empty()) return;
  end();
  put();
  summary.extra["n_anchors"] = n_put_;
  summary.extra["n_anchors_failed"] = n_failed_;
  summary.lines.push_back(fmt::format("{} heads anchored", n_put_));
  if (n_failed_ > 0) summary.lines.push_back(fmt::format("anchors that couldn't be put: {}", n_failed_));
  if (failing_ && summary.code == ErrorCode::kOk) {
    summary.code = ErrorCode::kIo;
    summary.message = "the last head wasn't anchored";
    summary.hint = "slmconv store anchor";
  }
}

}  // namespace slm::cli
