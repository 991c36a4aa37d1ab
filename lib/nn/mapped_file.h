// A file's bytes in memory without reading them all.
#pragma once

#include <filesystem>
#include <memory>

#include "core/bytes.h"
#include "core/error.h"

namespace slm::nn {

struct MappedFile {
  std::shared_ptr<const void> owner;  // of the bytes
  ByteSpan bytes;
};
// An empty file has no bytes. Errors: kIo; kBadInput for what isn't a regular file.
Result<MappedFile> map_file(const std::filesystem::path& path);

}  // namespace slm::nn
