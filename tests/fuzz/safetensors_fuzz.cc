// libFuzzer target: a weight file of arbitrary bytes. Every tensor that it is said to hold lies inside it.
#include <cstdint>

#include "nn/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = slm::nn::SafeTensors::from_bytes(slm::Bytes(data, data + size), "fuzz.safetensors");
  if (!file) return 0;
  [[maybe_unused]] volatile uint8_t sink = 0;
  for (const auto& [name, tensor] : file->tensors()) {
    const int64_t bytes = tensor.n_elements() * slm::nn::dtype_bytes(tensor.dtype);
    if (slm::nn::dtype_bytes(tensor.dtype) > 0 && bytes != static_cast<int64_t>(tensor.data.size())) __builtin_trap();
    for (const uint8_t byte : tensor.data) sink = byte;
  }
  return 0;
}
