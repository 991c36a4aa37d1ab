#include "nn/plan.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "nn/batch.h"

namespace slm::nn {

namespace {

// The program before it holds a model: libtorch's pages above all.
constexpr int64_t kProcessBytes = 130'000'000;
// ops.cc: rows of the loss whose logits are held.
constexpr int64_t kLossRows = 1024;
// attention_tiles.cc: rows of a tile; scores and probabilities of a tile over its whole path, on each of a few threads.
constexpr int64_t kTileRows = 64, kTileValueBytes = 6, kTileThreads = 4;
// decoder_lora.cc: rows of a weight whose lengths are computed at once.
constexpr int64_t kNormRows = 1024;
// decoder.cc: prompt tokens computed at once. engine.cc: room in a new cache, and how it grows.
constexpr int64_t kPrefillTokens = 16384;
constexpr int64_t kSpareTokens = 64;
// process_memory.h: compiled matrix products, when as many as are kept have been made.
constexpr int64_t kCompiledBytes = 130'000'000;

int64_t dtype_size(DType dtype) {
  if (dtype == DType::kAuto) return cpu_has_bf16() ? 2 : 4;
  return dtype == DType::kFloat32 ? 4 : 2;
}

// Σ (in + out) over a layer's linears: elements of A and B for each unit of rank.
int64_t layer_adapter_elements(const ModelConfig& c) {
  int64_t out = 0;
  for (const auto& site : linear_sites(c))
    for (const auto& part : site.parts) out += site.in + part.out;
  return out;
}

// What is quantised: elements, and those of the largest matrix, which is dequantised whole.
struct Linears {
  int64_t elements = 0, largest = 0, rows = 0;
};
Linears layer_linears(const ModelConfig& c) {
  Linears out;
  for (const auto& site : linear_sites(c)) {
    out.elements += site.in * site.out;
    out.largest = std::max(out.largest, site.in * site.out);
    out.rows += site.out;
  }
  return out;
}
// Half a byte an element, a byte for every 64 and 4 for every 64 · 256.
int64_t nf4_bytes(int64_t elements) { return elements / 2 + elements / 64 + elements / 4096; }

}  // namespace

int64_t n_parameters(const ModelConfig& c) {
  int64_t out = 0;
  for (const auto& tensor : checkpoint_tensors(c))
    out += std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
  return out;
}

ServePlan plan_serve(const ModelConfig& c, DType dtype, int64_t context, int64_t batch) {
  ServePlan out;
  const int64_t size = dtype_size(dtype), q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
  const auto cache = [&](int64_t tokens) { return 2 * c.n_layers * tokens * kv * size; };
  out.weight_bytes = n_parameters(c) * size;
  out.cache_bytes = cache(batch * context);
  // Of the prompts computed at once, one layer at a time: the residual stream three times (float32), two norms, the
  // queries, keys and values plain, turned and packed, attention's output twice; then either scores or the products of
  // the feed-forward part with the next residual.
  const int64_t tokens = std::min(batch * context, most_tokens(kPrefillTokens, context));
  const int64_t scores = kTileThreads * kTileRows * context * kTileValueBytes;
  const int64_t stream = tokens * (12 * c.width + size * (2 * c.width + 2 * (q + 2 * kv) + 2 * kv + 2 * q));
  const int64_t layer = stream + std::max(scores, tokens * size * (3 * c.ffn_width + c.width));
  const int64_t prefill = cache(batch * (context + kSpareTokens)) + layer;
  // While it decodes, a full cache is copied into one half as large again, a tensor at a time.
  const int64_t longest = std::min(c.max_positions, context * 3 / 2 + kSpareTokens);
  const int64_t decode = cache(batch * std::max(longest, context));
  // In the compute type, as float32, and as the caller's vector.
  const int64_t logits = batch * c.vocab_size * (size + 8);
  out.total_bytes = kProcessBytes + out.weight_bytes + std::max(prefill, decode) + logits;
  return out;
}

TrainPlan plan_train(const ModelConfig& c, DType dtype, const TrainShape& shape) {
  TrainPlan out;
  const int64_t size = dtype_size(dtype), n = n_parameters(c);
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim, w = c.width, f = c.ffn_width;
  const int64_t tokens = std::max(shape.batch_tokens, shape.longest);
  const bool lora = shape.rank > 0;
  const Linears linears = layer_linears(c);
  const bool dora = shape.dora && lora, nf4 = shape.nf4 && lora;
  out.n_adapter_parameters = lora ? shape.rank * c.n_layers * layer_adapter_elements(c) : 0;
  if (dora) out.n_adapter_parameters += c.n_layers * linears.rows;
  // Full weights: float32 masters, and copies in the compute type during a step.
  out.weight_bytes = lora ? n * size : n * (4 + (size == 4 ? 0 : size));
  if (nf4) {
    const int64_t quantised = c.n_layers * linears.elements;
    out.weight_bytes += nf4_bytes(quantised) - quantised * size + linears.largest * size;
  }
  // Float32, and stacked in the compute type, where zeros fill up what several outputs share.
  out.adapter_bytes = out.n_adapter_parameters * (4 + 2 * size);
  // Lengths of the base's rows; some rows of the weight as float32 while the adapted ones are measured.
  if (dora) out.adapter_bytes += c.n_layers * linears.rows * 4 + 2 * kNormRows * std::max(w, f) * 4;
  const int64_t trained = lora ? out.n_adapter_parameters : n;
  out.optimiser_bytes = trained * 16;  // two moments, the gradient, the best values so far; float32

  // What a layer keeps for its backward pass, tensor by tensor.
  struct Kept {
    int64_t bytes, count;
  };
  const int64_t r = shape.rank, drop = shape.dropout && lora ? 1 : 0;
  const Kept kept[] = {{4 * tokens * w, 2},                // the residual stream
                       {size * tokens * w, 2 + 2 * drop},  // the norms' outputs, their masks
                       {size * tokens * (q + 2 * kv), 1},  // turned
                       {size * tokens * q, 1 + drop},      // attention's output, its mask
                       {4 * tokens * c.n_heads, 1},
                       {size * tokens * 2 * f, 1},  // gate and up
                       {size * tokens * f, 1 + drop},
                       {size * tokens * r, 7},                         // of the adapters, between A and B
                       {size * tokens * linears.rows, dora ? 1 : 0}};  // the linears' outputs before they are scaled
  for (const auto& [bytes, count] : kept) out.activation_bytes += c.n_layers * bytes * count;
  // On top, the last layer's way back (feed-forward part or attention), or before it the loss.
  // Attention: the gradient, keys and values packed thrice, their gradients' sums in float32, where paths part twice.
  const int64_t attention_back = tokens * (size * (2 * q + 2 * kv + 3 * kv) + 2 * 8 * kv);
  const int64_t back = tokens * (8 * w + 2 * w * size) + std::max(tokens * size * 4 * f, attention_back);
  const int64_t loss = std::min(tokens, kLossRows) * c.vocab_size * size + tokens * w * (8 + 2 * size);
  const int64_t head_gradients = lora ? 0 : 8 * c.vocab_size * w;
  const int64_t on_top = std::max(back, loss) + head_gradients;
  out.activation_bytes += on_top;
  out.compiled_bytes = kCompiledBytes;
  out.total_bytes = kProcessBytes + out.weight_bytes + out.adapter_bytes + out.optimiser_bytes + out.activation_bytes +
                    out.compiled_bytes;
  return out;
}

TrainPlan plan_examples(const ModelConfig& c, DType dtype, const ExampleShape& shape) {
  const int64_t longest = std::max<int64_t>(shape.longest, 1);
  TrainShape micro;
  micro.rank = shape.rank;
  micro.longest = longest;
  micro.batch_tokens = std::min(shape.batch * longest, most_tokens(shape.max_tokens, longest));
  return plan_train(c, dtype, micro);
}

}  // namespace slm::nn
