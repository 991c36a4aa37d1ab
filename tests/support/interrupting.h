// Interrupts a command at a known place, without a thread or a guess about time.
#pragma once

#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "core/progress.h"
#include "core/time.h"

namespace slm::test {

// Two seconds pass at every look, so that every step of progress is told of.
class HastyClock final : public Clock {
 public:
  int64_t now_ms() override { return real_->now_ms(); }
  double monotonic_s() override { return seconds_ += 2; }

 private:
  std::unique_ptr<Clock> real_ = system_clock();
  double seconds_ = 0;
};

// Keeps what is written, and sets the interrupt flag as soon as that holds a word.
class InterruptAt final : public std::stringbuf {
 public:
  explicit InterruptAt(std::string word) : word_(std::move(word)) {}

 protected:
  int sync() override {
    const std::string all = str();
    if (all.find(word_, seen_) != std::string::npos) interrupt_flag() = true;
    seen_ = all.size();
    return 0;
  }

 private:
  std::string word_;
  size_t seen_ = 0;
};

}  // namespace slm::test
