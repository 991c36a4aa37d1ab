// Compressed logs read as they were before compression: gzip and zstd, piece by piece.
//
// Members (gzip) and frames (zstd) one after another are one content; zeros behind the last gzip member are padding.
// Memory: two read buffers and the format's window: 32 KiB for gzip, at most 128 MiB for zstd.
// Errors: kBadInput naming what was read and how: the data ends in the middle of a member or frame (all that came
//   before is handed over first), it is damaged, it needs a larger window, other bytes follow it; a compression that
//   isn't read here (bzip2, xz). kIo from the source.
// Threads: one.
// Source: RFC 1952 (gzip), RFC 8878 (zstd); the magic bytes of bzip2 and xz from their own descriptions.
#pragma once

#include "collect/reader.h"

namespace slm::collect {

// A compression that a file's first bytes tell.
struct Compression {
  std::string_view name, command;  // what writes the file's content to standard output: "bzip2 -dc"
  bool readable = false;           // here, without that command
};
// nullptr: none that is known.
const Compression* compression_of(std::string_view first_bytes);

class DecodedSource : public ByteSource {
 public:
  virtual uint64_t n_bytes_in() const = 0;  // taken from the source so far: of the file as it lies on disk
};
// Looks at the first bytes; what isn't compressed is handed through. `name` is for messages, `path` for the command
// they name ("" for standard input).
Result<std::unique_ptr<DecodedSource>> decode_source(std::unique_ptr<ByteSource> source, std::string name,
                                                     const std::string& path);

}  // namespace slm::collect
