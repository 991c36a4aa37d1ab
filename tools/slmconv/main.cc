// Streams, clock, randomness and signals of the real process; everything else is in the library, where tests reach it.
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <vector>

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

// Width of the terminal behind `fd`; `otherwise` where there is none.
int columns_of(int fd, int otherwise) {
  winsize size{};
  if (isatty(fd) != 1) return otherwise;
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) return size.ws_col;
  return 80;
}

// Standard input whose wait for more a signal ends: then it is at its end.
class Input final : public std::streambuf {
  int_type underflow() override {
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    while (!slm::interrupted()) {
      const int polled = poll(&ready, 1, 200);
      if (polled < 0 && errno != EINTR) break;
      if (polled <= 0) continue;
      const ssize_t n = read(STDIN_FILENO, buffer_.data(), buffer_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      setg(buffer_.data(), buffer_.data(), buffer_.data() + n);
      return traits_type::to_int_type(buffer_[0]);
    }
    return traits_type::eof();
  }
  std::vector<char> buffer_ = std::vector<char>(1 << 16);
};

}  // namespace

int main(int argc, char** argv) {
  slm::crypto::disable_core_dumps();  // before any command holds a key
  std::ios::sync_with_stdio(false);
  listen_to(SIGINT);
  listen_to(SIGTERM);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a bound on the size of files is an error like a full disk
  const auto clock = slm::system_clock();
  const auto random = slm::os_random();
  const bool terminal = isatty(STDERR_FILENO) == 1;
  Input input;
  std::istream in(&input);
  // A table that goes to a file or a pipe isn't cut.
  slm::cli::Streams streams{in, std::cout, std::cerr, terminal, columns_of(STDERR_FILENO, 80)};
  streams.table_columns = columns_of(STDOUT_FILENO, 1000);
  const int rc = slm::cli::run_command_line({argv + 1, argv + argc}, streams, *clock, *random);
  errno = 0;
  std::cout.flush();
  if (std::cout) return rc;
  // A reader that has enough ("| head") needs no message.
  if (errno != EPIPE)
    std::cerr << "slmconv: standard output: " << (errno != 0 ? strerror(errno) : "can't be written") << "\n";
  return slm::exit_code(slm::ErrorCode::kIo);
}
