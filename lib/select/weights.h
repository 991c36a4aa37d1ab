// Whether a folder's weights are whole: every tensor that its config asks for is there in its shape, every file as long
// as its header says, every number finite. Reads each file once, memory-mapped; torch-free.
//
// Errors: kBadInput naming file and tensor; kIo; kInterrupted.
#pragma once

#include <cstdint>
#include <filesystem>

#include "core/progress.h"
#include "nn/engine.h"

namespace slm::select {

struct WeightCheck {
  int64_t n_tensors = 0, n_bytes = 0;
};
Result<WeightCheck> check_weights(const std::filesystem::path& dir, const nn::ModelConfig& config, Progress& progress);

}  // namespace slm::select
