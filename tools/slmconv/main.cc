// Streams, clock, randomness and signals of the real process; everything else is in the library, where tests reach it.
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "command.h"
#include "core/progress.h"

namespace {

void on_signal(int signal) {
  slm::interrupt_flag().store(true);
  std::signal(signal, SIG_DFL);  // a second one ends the process at once
}

int terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) return size.ws_col;
  return 80;
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
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
