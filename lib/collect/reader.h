// Records of a log file, one at a time: lines of a JSONL file, elements of a file that is one JSON array, or JSON
// values one after another over several lines. Which of these it is, the beginning of the file decides: a first line
// that is one whole array with another line behind it is a line like others.
//
// Memory: at most max_record_bytes and a read buffer, whatever the size of the file. A longer record is skipped and
//   reported. In a JSONL file a broken line costs that line only; in an array a missing bracket or quote costs the rest
//   of the file, since nothing else marks where an element ends.
// Units: lines count from 1, of the line where the record begins.
// Errors: kIo from the source, after all records that were whole before it.
// Threads: one.
#pragma once

#include <filesystem>
#include <functional>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace slm::collect {

// Bytes of a file or of standard input.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills up to n bytes; 0 at the end.
  virtual Result<size_t> read(char* out, size_t n) = 0;
};
// Errors: kIo naming the path. Never follows into a folder.
Result<std::unique_ptr<ByteSource>> open_file_source(const std::filesystem::path& path);
std::unique_ptr<ByteSource> stream_source(std::istream& in);

inline constexpr uint64_t kDefaultMaxRecordBytes = uint64_t{64} << 20;

class RecordReader {
 public:
  enum class Layout { kLines, kArray, kValues };
  struct Record {
    std::string_view text;  // valid until the next call; empty if bad
    int64_t line = 0;
    uint64_t n_bytes = 0;
    std::string_view bad;  // "" or "too_long", "cut_off" (the file ends inside it)
  };

  // Keeps a reference to `source`.
  explicit RecordReader(ByteSource& source, uint64_t max_record_bytes = kDefaultMaxRecordBytes);
  // False at the end.
  Result<bool> next(Record& out);
  uint64_t n_bytes_read() const { return n_bytes_read_; }
  Layout layout() const { return layout_; }

 private:
  Status start();
  Result<bool> fill();  // reads on; false at the end or where the source failed
  Result<bool> first_line_is_an_array();
  Result<bool> next_line(Record& out);
  Result<bool> next_value(Record& out);
  Result<bool> skip_to_value();
  void consume(size_t n);
  std::string_view rest() const { return std::string_view(buffer_).substr(begin_); }

  ByteSource& source_;
  uint64_t max_record_bytes_;
  std::string buffer_;  // [begin_, size) isn't consumed yet
  size_t begin_ = 0;
  bool at_end_ = false, started_ = false, in_array_ = false;
  bool whole_ = false;           // the last record ended by itself, not with the source
  std::optional<Error> failed_;  // what the source said; told after the records before it
  uint64_t n_bytes_read_ = 0;
  int64_t line_ = 1;  // of begin_
  Layout layout_ = Layout::kLines;
};

// Follows strings and brackets to where a JSON value ends. Fed in pieces.
class ValueScanner {
 public:
  // Bytes of `text` that belong to the value; done() tells whether it ended there. Scalars end before a comma, white
  // space or a closing bracket.
  size_t feed(std::string_view text);
  bool done() const { return done_; }
  int depth() const { return depth_; }

 private:
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false, done_ = false, begun_ = false, scalar_ = false;
};

}  // namespace slm::collect
