#include "nn/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"

namespace slm::nn {

Result<MappedFile> map_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error(path, "opening"));
  const std::shared_ptr<const void> closing(nullptr, [fd](const void*) { ::close(fd); });
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    return fail(ErrorCode::kBadInput, fmt::format("{}: not a regular file", path.string()));
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return MappedFile{};
  void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED) return fail(errno_error(path, "mapping"));
  return MappedFile{std::shared_ptr<const void>(map, [size](const void* p) { munmap(const_cast<void*>(p), size); }),
                    {static_cast<const uint8_t*>(map), size}};
}

}  // namespace slm::nn
