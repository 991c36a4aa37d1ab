// A passphrase typed on a terminal, in a child of its own with a terminal of its own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "core/progress.h"
#include "crypto/keyfile.h"

namespace slm::crypto {
namespace {

class PassphraseTest : public testing::Test {
 protected:
  // Asks in the child; its exit status is the error's code, or 0 where the passphrase was "correct horse".
  void ask(int flags) {
    unsetenv("SLMCONV_PASSPHRASE_FILE");
    // The terminal's other end stays open here, so that its settings can be looked at when the child is gone.
    ASSERT_EQ(openpty(&master_, &slave_, nullptr, nullptr, nullptr), 0);
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      if (login_tty(slave_) != 0) _exit(99);
      struct sigaction action {};
      action.sa_handler = [](int) { interrupt_flag().store(true); };
      action.sa_flags = SA_RESETHAND | flags;
      sigaction(SIGINT, &action, nullptr);
      sigaction(SIGTERM, &action, nullptr);
      const auto got = find_passphrase({}, "the passphrase");
      if (!got) _exit(exit_code(got.error().code));
      _exit(as_text(got->span()) == "correct horse" ? 0 : 98);
    }
    for (int i = 0; i < 1000 && shown_.find("the passphrase: ") == std::string::npos; ++i) read_some();
    ASSERT_NE(shown_.find("the passphrase: "), std::string::npos);
    EXPECT_FALSE(echoes()) << "what is typed isn't shown";
  }
  void TearDown() override {
    if (child_ > 0) kill(child_, SIGKILL), waitpid(child_, nullptr, 0);
    close(master_);
    close(slave_);
  }
  void type(std::string_view text) { ASSERT_EQ(write(master_, text.data(), text.size()), ssize_t(text.size())); }
  bool echoes() const {
    termios now{};
    EXPECT_EQ(tcgetattr(slave_, &now), 0);
    return (now.c_lflag & ECHO) != 0;
  }
  // The child's exit status; -1 if it was ended by a signal or doesn't end.
  int wait() {
    int status = 0;
    for (int i = 0; i < 500; ++i) {
      if (waitpid(child_, &status, WNOHANG) == child_) {
        child_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
  }
  void read_some() {
    fcntl(master_, F_SETFL, O_NONBLOCK);
    char buffer[256];
    const ssize_t n = read(master_, buffer, sizeof buffer);
    if (n > 0) shown_.append(buffer, static_cast<size_t>(n));
    if (n <= 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

  int master_ = -1, slave_ = -1;
  pid_t child_ = 0;
  std::string shown_;
};

TEST_F(PassphraseTest, ALineIsReadWithoutEcho) {
  ask(SA_RESTART);
  type("correct horse\n");
  EXPECT_EQ(wait(), 0);
  EXPECT_TRUE(echoes());
  for (int i = 0; i < 5; ++i) read_some();
  EXPECT_EQ(shown_.find("horse"), std::string::npos);
}

TEST_F(PassphraseTest, OneInterruptEndsThePromptAndTheTerminalEchoesAgain) {
  for (const int flags : {SA_RESTART, 0}) {
    ask(flags);
    type("half a pass");
    type("\x03");  // Ctrl-C
    EXPECT_EQ(wait(), 130);
    EXPECT_TRUE(echoes());
    TearDown();
    shown_.clear();
  }
  ask(0);
  kill(child_, SIGTERM);
  EXPECT_EQ(wait(), 130);
  EXPECT_TRUE(echoes());
}

}  // namespace
}  // namespace slm::crypto
