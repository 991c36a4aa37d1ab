#include "core/progress.h"

namespace slm {
namespace {
class NullProgress final : public Progress {
 public:
  void start(std::string_view, uint64_t) override {}
  void advance(uint64_t, std::string_view) override {}
  void finish() override {}
  void note(std::string_view) override {}
  void warn(std::string_view) override {}
};
}  // namespace

Progress& null_progress() {
  static NullProgress progress;
  return progress;
}

std::atomic<bool>& interrupt_flag() {
  static std::atomic<bool> flag{false};
  return flag;
}

}  // namespace slm
