// Where a passphrase comes from: see find_passphrase() in keyfile.h.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "core/file.h"
#include "core/progress.h"
#include "crypto/keyfile.h"

namespace slm::crypto {
namespace {

constexpr size_t kMaxPassphraseBytes = 1024;

// Waits until there is something to read. A signal that asks the program to end is let in only here, so that none comes
// between the look at the flag and the wait.
Status wait_for(int fd, const std::filesystem::path& name) {
  sigset_t ending, before;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, &before);
  Status out;
  while (true) {
    if (interrupted()) {
      out = fail(ErrorCode::kInterrupted, "interrupted while a passphrase was asked for");
      break;
    }
    pollfd waiting{fd, POLLIN, 0};
    const int n = ppoll(&waiting, 1, nullptr, &before);
    if (n > 0) break;
    if (n < 0 && errno != EINTR) {
      out = fail(errno_error(name, "waiting for"));
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return out;
}

// Reads up to the first newline, which is left out.
Result<SecretBytes> read_line(int fd, const std::filesystem::path& name) {
  SecretBytes buffer(kMaxPassphraseBytes);
  size_t size = 0;
  while (true) {
    SLM_CHECK(wait_for(fd, name));
    char c = 0;
    const ssize_t n = read(fd, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error(name, "reading"));
    if (n == 0 || c == '\n') break;
    if (size == kMaxPassphraseBytes)
      return fail(ErrorCode::kBadInput,
                  fmt::format("{}: a passphrase longer than {} bytes", name.string(), kMaxPassphraseBytes));
    buffer.data()[size++] = static_cast<uint8_t>(c);
  }
  if (size > 0 && buffer.data()[size - 1] == '\r') --size;
  if (size == 0) return fail(ErrorCode::kWrongKey, fmt::format("{}: an empty passphrase", name.string()));
  return SecretBytes::copy_of(buffer.span().first(size));
}

Result<SecretBytes> read_from(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error(path, "opening"));
  auto out = read_line(fd, path);
  close(fd);
  return out;
}

}  // namespace

Result<SecretBytes> find_passphrase(const std::filesystem::path& passphrase_file, std::string_view prompt) {
  if (!passphrase_file.empty()) return read_from(passphrase_file);
  if (const char* named = std::getenv("SLMCONV_PASSPHRASE_FILE"); named != nullptr && *named != '\0')
    return read_from(named);
  const int fd = isatty(STDIN_FILENO) ? open("/dev/tty", O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0)
    return fail(ErrorCode::kWrongKey, "a passphrase is needed, and there is no terminal to ask on",
                "set SLMCONV_PASSPHRASE_FILE to a file whose first line is the passphrase");
  termios before{};
  const bool echoing = tcgetattr(fd, &before) == 0;
  if (echoing) {
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(fd, TCSAFLUSH, &silent);
  }
  const std::string text = fmt::format("{}: ", prompt);
  (void)!write(fd, text.data(), text.size());
  auto out = read_line(fd, "the terminal");
  if (echoing) {
    tcsetattr(fd, TCSAFLUSH, &before);
    (void)!write(fd, "\n", 1);
  }
  close(fd);
  return out;
}

}  // namespace slm::crypto
