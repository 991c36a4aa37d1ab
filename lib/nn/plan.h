// Memory that a model needs, from its config alone; torch-free, so that select can ask before anything is downloaded.
// What a process on the CPU holds at its peak, itself included.
//
// Units: bytes, tokens.
// Source: ops.cc, attention_tiles.cc, decoder.cc for what lives when; tests/nn/plan_test.cc holds it against the
// system's count.
#pragma once

#include <cstdint>
#include <limits>

#include "nn/engine.h"

namespace slm::nn {

int64_t n_parameters(const ModelConfig& config);

struct ServePlan {
  int64_t weight_bytes = 0;
  int64_t cache_bytes = 0;  // keys and values of `batch` conversations of `context` tokens
  int64_t total_bytes = 0;  // with the second copy that prefill makes of them, activations and the process
};
ServePlan plan_serve(const ModelConfig& config, DType dtype, int64_t context, int64_t batch);

// One micro-batch, as it lies in memory.
struct TrainShape {
  int64_t batch_tokens = 0;
  int64_t longest = 0;   // of its sequences
  int64_t rank = 8;      // LoRA rank on all linears; 0 = full weights
  bool dropout = false;  // of the adapters' inputs
  bool dora = false;
  bool nf4 = false;        // the linears of the base held in 4 bits
  bool recompute = false;  // nn/checkpoint.h: of each layer only the input is held for the way back
};
struct TrainPlan {
  int64_t weight_bytes = 0, adapter_bytes = 0, optimiser_bytes = 0, activation_bytes = 0;
  int64_t compiled_bytes = 0;  // matrix products compiled for the shapes that a long run meets
  int64_t total_bytes = 0;     // with the process
  int64_t n_adapter_parameters = 0;
  bool recompute = false;  // as in the shape
};
TrainPlan plan_train(const ModelConfig& config, DType dtype, const TrainShape& shape);
// Layers are computed again only where the plan without it is beyond the budget, and that takes less; it may be beyond
// the budget, too.
TrainPlan plan_within(const ModelConfig& config, DType dtype, TrainShape shape, int64_t budget_bytes);

// What finetuning takes unless told otherwise.
inline constexpr int64_t kTrainBatch = 16;          // examples a step
inline constexpr int64_t kTrainBatchTokens = 8192;  // of one micro-batch

// Steps of examples whose lengths go up to `longest`.
struct ExampleShape {
  int64_t longest = 0;
  int64_t batch = kTrainBatch, max_tokens = kTrainBatchTokens;
  int64_t rank = 8;
  int64_t budget_bytes = std::numeric_limits<int64_t>::max();  // as in plan_within
};
// The plan of the micro-batch that takes most, of all that make_forests may make of such examples.
TrainPlan plan_examples(const ModelConfig& config, DType dtype, const ExampleShape& shape);

}  // namespace slm::nn
