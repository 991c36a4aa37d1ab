#include "nn/export.h"

#include "nn/safetensors.h"

namespace slm::nn {

Result<Bytes> weight_file(const Decoder& decoder, DType dtype) {
  return guarded([&]() -> Result<Bytes> {
    const bool bf16 = dtype != DType::kFloat32;
    std::vector<at::Tensor> held;
    std::vector<TensorToWrite> out;
    for (const auto& slice : decoder.weights()) {
      held.push_back(slice.value.cpu().to(bf16 ? at::kBFloat16 : at::kFloat).contiguous());
      const at::Tensor& t = held.back();
      out.push_back({slice.name,
                     bf16 ? "BF16" : "F32",
                     t.sizes().vec(),
                     {static_cast<const uint8_t*>(t.data_ptr()), static_cast<size_t>(t.nbytes())}});
    }
    return write_safetensors(out);
  });
}

}  // namespace slm::nn
