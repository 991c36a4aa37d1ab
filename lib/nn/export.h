// A decoder's weights as files that other programs read.
#pragma once

#include "core/bytes.h"
#include "nn/decoder.h"

namespace slm::nn {

// model.safetensors with the checkpoint's names, as float32 or bfloat16. Errors: kOutOfMemory.
Result<Bytes> weight_file(const Decoder& decoder, DType dtype);

}  // namespace slm::nn
