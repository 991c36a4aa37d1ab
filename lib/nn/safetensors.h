// Weight files in the safetensors format: read from a memory map or from bytes, checked whole before any use; written.
//
// Layout: u64 little-endian N, N bytes of JSON (name → {dtype, shape, data_offsets}), then the data; offsets are
//   relative to the data, without holes or overlaps.
// Errors: kBadInput naming file, tensor, expected and found; kIo.
// Threads: reading may happen at once.
// Source: huggingface/safetensors `safetensors/src/tensor.rs`, README "Format".
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/error.h"

namespace slm::nn {

struct TensorView {
  std::string dtype;  // "F32", "BF16", "F16", ...
  std::vector<int64_t> shape;
  ByteSpan data;  // lives as long as the file
  int64_t n_elements() const;
};

// Bytes of one element; 0 for a type that isn't whole bytes or isn't known.
int64_t dtype_bytes(std::string_view dtype);

class SafeTensors {
 public:
  static Result<SafeTensors> open(const std::filesystem::path& path);
  // `name` stands for the file in messages.
  static Result<SafeTensors> from_bytes(Bytes bytes, std::string name);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& name() const { return name_; }

 private:
  SafeTensors() = default;
  Status index(ByteSpan file);
  std::shared_ptr<const void> owner_;  // the map or the bytes
  std::string name_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

// All weights of a Hugging Face directory: model.safetensors, or the files that model.safetensors.index.json names.
class WeightFiles {
 public:
  static Result<WeightFiles> open(const std::filesystem::path& dir);
  static WeightFiles of(SafeTensors file);
  // Null if there is none of that name.
  const TensorView* find(const std::string& tensor) const;
  // The file a tensor lies in, for messages.
  std::string file_of(const std::string& tensor) const;
  std::vector<std::string> names() const;
  // The first file's folder or name, for messages.
  std::string place() const;

 private:
  std::vector<SafeTensors> files_;
  std::map<std::string, size_t> where_;
};

// A tensor of a model, under either name that its family's files have it; null if there is none.
struct ModelConfig;
const TensorView* find_tensor(const WeightFiles& files, const ModelConfig& config, const std::string& name);

struct TensorToWrite {
  std::string name, dtype;
  std::vector<int64_t> shape;
  ByteSpan data;
};
// The whole file; tensors in the order given, metadata {"format": "pt"} as its readers expect.
Bytes write_safetensors(const std::vector<TensorToWrite>& tensors);

// The same straight to a file, a tensor at a time: data(i) gives the bytes of the i-th. The data of `tensors` stays
// unused. Errors: kIo, those of data.
Status write_safetensors_file(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                              const std::function<Result<Bytes>(size_t)>& data);

}  // namespace slm::nn
