// Streams, clock, randomness and signals of the real process; everything else is in the library, where tests reach it.
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "command.h"
#include "core/progress.h"
#include "crypto/secret.h"

namespace {

void on_signal(int) { slm::interrupt_flag().store(true); }

// Work stops at its next look at the flag, and a wait that a signal should end polls (crypto/passphrase.cc), so reads
// and writes in between go on. A second signal ends the process at once.
void listen_to(int signal) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

int terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) return size.ws_col;
  return 80;
}

}  // namespace

int main(int argc, char** argv) {
  slm::crypto::disable_core_dumps();  // before any command holds a key
  std::ios::sync_with_stdio(false);
  listen_to(SIGINT);
  listen_to(SIGTERM);
  std::signal(SIGPIPE, SIG_IGN);
  const auto clock = slm::system_clock();
  const auto random = slm::os_random();
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const slm::cli::Streams streams{std::cin, std::cout, std::cerr, terminal, terminal_columns()};
  const int rc = slm::cli::run_command_line({argv + 1, argv + argc}, streams, *clock, *random);
  std::cout.flush();
  if (!std::cout) return slm::exit_code(slm::ErrorCode::kIo);
  return rc;
}
