// Memory and arithmetic that a model needs, from its config alone; torch-free, so that select can ask before anything
// is downloaded.
//
// Units: bytes; FLOPs (a multiply-add counts 2).
#pragma once

#include <cstdint>

#include "nn/engine.h"

namespace slm::nn {

int64_t n_parameters(const ModelConfig& config);

struct ServePlan {
  int64_t weight_bytes = 0;
  int64_t cache_bytes = 0;     // keys and values of `batch` rows of `context` tokens
  int64_t total_bytes = 0;     // with activations
  double flops_per_token = 0;  // at full context
};
ServePlan plan_serve(const ModelConfig& config, DType dtype, int64_t context, int64_t batch);

struct TrainPlan {
  int64_t weight_bytes = 0, adapter_bytes = 0, optimiser_bytes = 0, activation_bytes = 0, total_bytes = 0;
  int64_t n_adapter_parameters = 0;
  double flops_per_step = 0;
};
struct TrainShape {
  int64_t batch_tokens = 0;  // tokens of one micro-batch, padding included
  int64_t longest = 0;       // longest sequence
  int64_t rank = 8;          // LoRA rank on all seven linears; 0 = full weights
};
TrainPlan plan_train(const ModelConfig& config, DType dtype, const TrainShape& shape);

}  // namespace slm::nn
