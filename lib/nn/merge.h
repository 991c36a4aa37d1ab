// An adapter merged into its base, for programs that take no adapters. Torch-free.
//
// Errors: kManifestMismatch where the adapter doesn't fit the base; kBadInput, kUnsupportedModel, kIo, kOutOfMemory.
// Source: peft `tuners/lora/layer.py`, `tuners/lora/dora.py` (merge).
#pragma once

#include <filesystem>

#include "nn/engine.h"

namespace slm::nn {

// Writes `out`, one safetensors file: a full set of new weights, or the base's weights with W + s·B·A in place of W,
// with DoRA its rows brought to their lengths. Computed in float32, a tensor at a time. stored: kAuto keeps each
// tensor's own type. Where the adapter was trained over a base in NF4, all linears of the layers are what quantisation
// leaves of them, adapted or not.
Status merge_weights(const std::filesystem::path& base, const AdapterFiles& adapter, DType stored,
                     const std::filesystem::path& out);

}  // namespace slm::nn
