#include "nn/plan.h"

#include <algorithm>

namespace slm::nn {

namespace {

// Elements of the seven linears of one layer.
int64_t layer_matrix_elements(const ModelConfig& c) {
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
  return c.width * (q + 2 * kv) + q * c.width + 3 * c.width * c.ffn_width;
}

int64_t dtype_size(DType dtype) {
  if (dtype == DType::kAuto) return cpu_has_bf16() ? 2 : 4;
  return dtype == DType::kFloat32 ? 4 : 2;
}

// Σ (in + out) over the seven linears: elements of A and B for each unit of rank.
int64_t layer_adapter_elements(const ModelConfig& c) {
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
  return (c.width + q) + 2 * (c.width + kv) + (q + c.width) + 3 * (c.width + c.ffn_width);
}

// Multiply-adds of the linears and the output layer for one token.
double forward_flops(const ModelConfig& c) {
  return 2.0 * static_cast<double>(c.n_layers * layer_matrix_elements(c) + c.vocab_size * c.width);
}

}  // namespace

int64_t n_parameters(const ModelConfig& c) {
  const int64_t embeddings = c.vocab_size * c.width * (c.tied_embeddings ? 1 : 2);
  return embeddings + c.n_layers * (layer_matrix_elements(c) + 2 * c.width) + c.width;
}

ServePlan plan_serve(const ModelConfig& c, DType dtype, int64_t context, int64_t batch) {
  ServePlan out;
  const int64_t size = dtype_size(dtype);
  out.weight_bytes = n_parameters(c) * size;
  out.cache_bytes = 2 * c.n_layers * batch * context * c.n_kv_heads * c.head_dim * size;
  // Prefill of one row at a time is the peak: residual stream, the widest product, one layer's scores, logits.
  const int64_t activations = context * (4 * c.width + (2 * c.ffn_width + c.width) * size) +
                              c.n_heads * context * context * size + batch * c.vocab_size * 4;
  out.total_bytes = out.weight_bytes + out.cache_bytes + activations;
  out.flops_per_token = forward_flops(c) + 4.0 * static_cast<double>(c.n_layers * c.n_heads * c.head_dim * context);
  return out;
}

TrainPlan plan_train(const ModelConfig& c, DType dtype, const TrainShape& shape) {
  TrainPlan out;
  const int64_t size = dtype_size(dtype), n = n_parameters(c), tokens = shape.batch_tokens;
  const bool lora = shape.rank > 0;
  out.n_adapter_parameters = lora ? shape.rank * c.n_layers * layer_adapter_elements(c) : 0;
  // Full weights: float32 masters, and copies in the compute type during a step.
  out.weight_bytes = lora ? n * size : n * (4 + (size == 4 ? 0 : size));
  out.adapter_bytes = out.n_adapter_parameters * 4;
  const int64_t trained = lora ? out.n_adapter_parameters : n;
  out.optimiser_bytes = trained * 12;  // two moments and the gradient, float32
  // What a layer keeps for its backward pass, a token: residual stream twice (float32), two norms' outputs, qkv split,
  // attention's output, gate and up, their product, two branch outputs.
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
  const int64_t per_token = 2 * 4 * c.width + size * (2 * c.width + (q + 2 * kv) + q + 3 * c.ffn_width);
  const int64_t scores = std::min<int64_t>(c.n_heads * tokens * shape.longest * size, int64_t{64} << 20);
  const int64_t loss_rows = std::min<int64_t>(tokens, 1024) * c.vocab_size * size;
  out.activation_bytes =
      c.n_layers * (tokens * per_token + scores) + 2 * c.n_heads * tokens * shape.longest * size + loss_rows;
  out.total_bytes = out.weight_bytes + out.adapter_bytes + out.optimiser_bytes + out.activation_bytes;
  const double attention = 4.0 * static_cast<double>(c.n_layers * q * shape.longest) * static_cast<double>(tokens);
  // Frozen weights need no gradient of their own: two products a weight instead of three.
  out.flops_per_step = forward_flops(c) * static_cast<double>(tokens) * (lora ? 2.0 : 3.0) + 3.0 * attention +
                       (lora ? 6.0 * static_cast<double>(out.n_adapter_parameters) * static_cast<double>(tokens) : 0.0);
  return out;
}

}  // namespace slm::nn
