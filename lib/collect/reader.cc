#include "collect/reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "call/ascii.h"
#include "core/file.h"

namespace slm::collect {

namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

class FileSource final : public ByteSource {
 public:
  FileSource(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  ~FileSource() override { ::close(fd_); }
  Result<size_t> read(char* out, size_t n) override {
    for (;;) {
      const ssize_t got = ::read(fd_, out, n);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) return fail(errno_error(path_, "read"));
    }
  }

 private:
  int fd_;
  std::filesystem::path path_;
};

class StreamSource final : public ByteSource {
 public:
  explicit StreamSource(std::istream& in) : in_(in) {}
  Result<size_t> read(char* out, size_t n) override {
    in_.read(out, static_cast<std::streamsize>(n));
    if (in_.bad()) return fail(ErrorCode::kIo, "standard input: read failed");
    return static_cast<size_t>(in_.gcount());
  }

 private:
  std::istream& in_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_file_source(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error(path, "open"));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    ::close(fd);
    return fail(ErrorCode::kIo, fmt::format("{}: not a file", path.string()));
  }
  return std::make_unique<FileSource>(fd, path);
}

std::unique_ptr<ByteSource> stream_source(std::istream& in) { return std::make_unique<StreamSource>(in); }

size_t ValueScanner::feed(std::string_view text) {
  size_t i = 0;
  while (i < text.size() && !done_) {
    const char c = text[i];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
        done_ = depth_ == 0;
      } else {
        // Most bytes of a log are inside strings: run to the next byte that matters.
        while (i + 1 < text.size() && text[i + 1] != '"' && text[i + 1] != '\\') ++i;
      }
      ++i;
      continue;
    }
    if (scalar_) {
      if (is_json_space(c) || c == ',' || c == ']' || c == '}') {
        done_ = true;
        break;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      done_ = --depth_ <= 0;
    } else if (!begun_) {
      scalar_ = true;
    }
    begun_ = true;
    ++i;
  }
  return i;
}

RecordReader::RecordReader(ByteSource& source, uint64_t max_record_bytes)
    : source_(source), max_record_bytes_(max_record_bytes) {}

void RecordReader::consume(size_t n) {
  line_ += std::count(buffer_.begin() + static_cast<ptrdiff_t>(begin_),
                      buffer_.begin() + static_cast<ptrdiff_t>(begin_ + n), '\n');
  begin_ += n;
}

Result<bool> RecordReader::fill() {
  if (at_end_) return false;
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  const size_t size = buffer_.size();
  buffer_.resize(size + kChunkBytes);
  auto got = source_.read(buffer_.data() + size, kChunkBytes);
  buffer_.resize(size + got.value_or(0));
  if (!got) failed_ = std::move(got).error();
  n_bytes_read_ += got.value_or(0);
  at_end_ = got.value_or(0) == 0;
  return !at_end_;
}

// The buffer begins with '['. True if the array ends on the line where it begins, and another line follows. An array of
// more than max_record_bytes is none that could be a record.
Result<bool> RecordReader::first_line_is_an_array() {
  ValueScanner scanner;
  size_t at = 0;
  for (;;) {
    const size_t from = at;
    at += scanner.feed(rest().substr(at));
    if (rest().substr(from, at - from).find('\n') != std::string_view::npos || at > max_record_bytes_) return false;
    if (scanner.done()) break;
    SLM_TRY(const bool more, fill());
    if (!more) return false;
  }
  for (bool line_ended = false;; ++at) {
    while (at >= rest().size()) {
      SLM_TRY(const bool more, fill());
      if (!more) return false;
    }
    const char c = rest()[at];
    if (!is_json_space(c)) return line_ended;
    line_ended = line_ended || c == '\n';
  }
}

// Looks at the beginning of the file: '[' opens an array, unless its line is a record; a first line that ends inside a
// value while the next line doesn't open one is a value written over several lines; everything else is read line by
// line.
Status RecordReader::start() {
  started_ = true;
  while (buffer_.size() < kChunkBytes) {
    SLM_TRY(const bool more, fill());
    if (!more) break;
  }
  if (rest().starts_with(kByteOrderMark)) consume(kByteOrderMark.size());
  for (;;) {
    const auto text = rest();
    const size_t begin = static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_json_space) - text.begin());
    consume(begin);
    if (begin < text.size()) break;
    SLM_TRY(const bool more, fill());
    if (!more) return {};
  }
  const auto text = rest();
  if (text.front() == '[') {
    SLM_TRY(const bool is_line, first_line_is_an_array());
    if (!is_line) layout_ = Layout::kArray;
  } else if (text.front() == '{') {
    const size_t end = text.find('\n');
    const size_t next = end == std::string_view::npos ? end : text.find_first_not_of("\r\n", end);
    if (next != std::string_view::npos && text[next] != '{') {
      ValueScanner scanner;
      scanner.feed(text.substr(0, end));
      if (!scanner.done()) layout_ = Layout::kValues;
    }
  }
  return {};
}

Result<bool> RecordReader::next(Record& out) {
  if (!started_) SLM_CHECK(start());
  out = {};
  SLM_TRY(const bool more, layout_ == Layout::kLines ? next_line(out) : next_value(out));
  // What the source's failure cut is no record.
  if (failed_ && (!more || !whole_)) return fail(*failed_);
  return more;
}

Result<bool> RecordReader::next_line(Record& out) {
  for (;;) {
    out.line = line_;
    size_t searched = 0;
    uint64_t skipped = 0;  // of a line that is too long
    for (;;) {
      const auto text = rest();
      const size_t end = text.find('\n', searched);
      const bool whole = end != std::string_view::npos || at_end_;
      whole_ = end != std::string_view::npos;
      const size_t length = std::min(end, text.size());
      if (skipped + length > max_record_bytes_) {
        skipped += length;
        if (whole) {
          consume(std::min(length + 1, text.size()));
          out.bad = "too_long";
          out.n_bytes = skipped;
          return true;
        }
        consume(length);
        searched = 0;
      } else if (whole) {
        consume(std::min(length + 1, text.size()));
        auto line = text.substr(0, length);
        while (!line.empty() && is_json_space(line.back())) line.remove_suffix(1);
        while (!line.empty() && is_json_space(line.front())) line.remove_prefix(1);
        if (line.empty()) {
          if (end == std::string_view::npos) return false;
          break;  // a blank line
        }
        out.text = line;
        out.n_bytes = length;
        return true;
      } else {
        searched = length;
      }
      SLM_CHECK(fill());
    }
  }
}

// True: the buffer begins with a value. Passes white space, commas and the brackets of the array.
Result<bool> RecordReader::skip_to_value() {
  for (;;) {
    const auto text = rest();
    size_t i = 0;
    for (; i < text.size(); ++i) {
      const char c = text[i];
      if (is_json_space(c)) continue;
      if (layout_ == Layout::kArray) {
        if (!in_array_ && c == '[') {
          in_array_ = true;
          continue;
        }
        if (in_array_ && c == ']') {
          in_array_ = false;
          continue;
        }
        if (c == ',') continue;
      }
      break;
    }
    consume(i);
    if (i < text.size()) return true;
    SLM_TRY(const bool more, fill());
    if (!more) return false;
  }
}

Result<bool> RecordReader::next_value(Record& out) {
  SLM_TRY(const bool any, skip_to_value());
  if (!any) return false;
  out.line = line_;
  ValueScanner scanner;
  size_t scanned = 0;  // of rest()
  uint64_t skipped = 0;
  for (;;) {
    scanned += scanner.feed(rest().substr(scanned));
    if (scanner.done() || at_end_) break;
    if (skipped + scanned > max_record_bytes_) {
      skipped += scanned;
      consume(scanned);
      scanned = 0;
    }
    SLM_CHECK(fill());
  }
  whole_ = scanner.done();
  const auto text = rest().substr(0, scanned);
  // A stray closing bracket is a value of its own to the scanner, and bad JSON to the parser.
  consume(scanned);
  out.n_bytes = skipped + scanned;
  if (out.n_bytes > max_record_bytes_)
    out.bad = "too_long";
  else if (!scanner.done() && scanner.depth() > 0)
    out.bad = "cut_off";
  else
    out.text = text;
  return true;
}

}  // namespace slm::collect
