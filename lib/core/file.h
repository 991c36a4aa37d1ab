// Files: whole reads, and writes that are there completely or not at all.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "core/bytes.h"

namespace slm {

// Errors: kIo with the system's reason; kBadInput if larger than max_bytes.
Result<std::string> read_file(const std::filesystem::path& path, uint64_t max_bytes = UINT64_MAX);
// Writes a temporary file beside, fsyncs, renames over, fsyncs the folder. Errors: kIo; nothing is left behind.
// mode: permission bits of the new file.
Status write_file_atomic(const std::filesystem::path& path, ByteSpan data, unsigned mode = 0644);
inline Status write_file_atomic(const std::filesystem::path& path, std::string_view text, unsigned mode = 0644) {
  return write_file_atomic(path, as_bytes(text), mode);
}
// Creates the folder and its parents. Errors: kIo.
Status make_dirs(const std::filesystem::path& path, unsigned mode = 0755);
Status fsync_dir(const std::filesystem::path& path);
// The path from the root, links and dots resolved as far as it exists. Errors: kIo.
Result<std::filesystem::path> resolve_path(const std::filesystem::path& path);
// Whether `inner` is `outer` or lies below it, both resolved. Errors: kIo.
Result<bool> lies_in(const std::filesystem::path& inner, const std::filesystem::path& outer);
// Turns errno into an Error: ENOSPC, EDQUOT and the rest are kIo, naming path and reason.
Error errno_error(const std::filesystem::path& path, std::string_view doing);

// A folder made under a hidden name, filled, then renamed to its final name; removed if never committed.
class StagedDir {
 public:
  static Result<StagedDir> create(const std::filesystem::path& final_path);
  StagedDir(StagedDir&& other) noexcept;
  StagedDir& operator=(StagedDir&&) = delete;
  ~StagedDir();
  const std::filesystem::path& path() const { return staging_; }
  // Replaces what has the final name: for what can be made again, as an artefact can.
  Status commit();
  // Replaces an empty folder at most. Errors: kUsage when anything else has the final name; kIo.
  Status commit_new();

 private:
  StagedDir(std::filesystem::path staging, std::filesystem::path final_path)
      : staging_(std::move(staging)), final_(std::move(final_path)) {}
  Status renamed();
  std::filesystem::path staging_, final_;
};

}  // namespace slm
