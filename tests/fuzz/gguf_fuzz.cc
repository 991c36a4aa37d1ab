// libFuzzer target: a GGUF file of arbitrary bytes. Every tensor that it is said to hold lies inside it and is as many
// bytes as its format and shape say; its values can be read.
#include <cstdint>

#include "nn/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace slm::nn;
  const auto file = GgufFile::from_bytes(slm::Bytes(data, data + size), "fuzz.gguf");
  if (!file) return 0;
  for (const auto& [name, tensor] : file->tensors()) {
    const auto bytes = gguf_tensor_bytes(tensor.type, tensor.shape);
    if (!bytes || *bytes != tensor.data.size()) __builtin_trap();
    const auto& format = ggml_format(tensor.type);
    std::vector<float> values(tensor.data.size() / static_cast<size_t>(format.block_bytes) *
                              static_cast<size_t>(format.block));
    ggml_dequantize(tensor.type, tensor.data, values);
  }
  return 0;
}
