// Files in the GGUF format (version 3): what llama.cpp and its kin load. Written a tensor at a time; read from a memory
// map or from bytes, checked whole before any use. Torch-free.
//
// Layout, little endian: "GGUF", u32 3, u64 tensors, u64 metadata; metadata as key, u32 type, value; a tensor's name,
//   u32 dimensions, u64 each (the fastest first), u32 format, u64 offset; padding; the data, every tensor at a multiple
//   of the alignment. A text is a u64 length and its bytes.
// Shapes: as in a checkpoint, the fastest dimension last.
// Errors: kBadInput naming file, key or tensor, expected and found; kFormatTooNew for another version; kIo.
// Threads: reading may happen at once.
// Source: ggml `docs/gguf.md`.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/bytes.h"
#include "core/error.h"
#include "nn/ggml_quants.h"

namespace slm::nn {

// Integers of less than 32 bits are read as these, and never written.
using GgufValue = std::variant<bool, uint32_t, int32_t, uint64_t, int64_t, float, double, std::string,
                               std::vector<uint8_t>,  // truth values
                               std::vector<uint32_t>, std::vector<int32_t>, std::vector<uint64_t>, std::vector<int64_t>,
                               std::vector<float>, std::vector<double>, std::vector<std::string>>;
struct GgufEntry {
  std::string key;
  GgufValue value;
};

struct GgufTensor {
  GgmlType type = GgmlType::kF32;
  std::vector<int64_t> shape;
  ByteSpan data;  // lives as long as the file
};

class GgufFile {
 public:
  static Result<GgufFile> open(const std::filesystem::path& path);
  // `name` stands for the file in messages.
  static Result<GgufFile> from_bytes(Bytes bytes, std::string name);

  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }

 private:
  GgufFile() = default;
  Status index(ByteSpan file);
  std::shared_ptr<const void> owner_;  // the map or the bytes
  std::string name_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, GgufTensor> tensors_;
};

// Bytes of a tensor; nullopt where a dimension is negative, the last one no multiple of the format's block, or the
// product overflows.
std::optional<uint64_t> gguf_tensor_bytes(GgmlType type, const std::vector<int64_t>& shape);

struct GgufTensorToWrite {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<int64_t> shape;  // 1 to 4 dimensions
};
// Writes the file, asking for the bytes of the i-th tensor when it is its turn. Errors: kUnexpected for tensors that
// don't fit their formats or names of more than 63 bytes, kIo, those of data.
Status write_gguf_file(const std::filesystem::path& path, const std::vector<GgufEntry>& metadata,
                       const std::vector<GgufTensorToWrite>& tensors, const std::function<Result<Bytes>(size_t)>& data);

}  // namespace slm::nn
