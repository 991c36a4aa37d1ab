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

// Over all layers.
struct Linears {
  int64_t elements = 0, largest = 0, rows = 0;  // largest: of a matrix, which is dequantised whole
  int64_t adapted = 0, adapted_rows = 0;        // Σ (in + out): elements of A and B for each unit of rank
};
Linears linears_of(const ModelConfig& c) {
  Linears out;
  for (int64_t i = 0; i < c.n_layers; ++i)
    for (const auto& site : linear_sites(c, i)) {
      out.elements += site.in * site.out;
      out.largest = std::max(out.largest, site.in * site.out);
      out.rows += site.out;
      for (const auto& part : site.parts) {
        if (!part.adapts) continue;
        out.adapted += site.in + part.out;
        out.adapted_rows += part.out;
      }
    }
  return out;
}

// How many layers have what.
struct Layers {
  int64_t all = 0, attention = 0, mamba = 0, convolution = 0, ffn = 0, norms = 0;
};
Layers layers_of(const ModelConfig& c, int64_t from, int64_t to) {
  Layers out;
  for (int64_t i = from; i < to; ++i) {
    const LayerConfig kind = c.layer(i);
    ++out.all;
    out.attention += kind.attends();
    out.mamba += kind.has_mamba();
    out.convolution += kind.mixer == Mixer::kShortConv;
    out.ffn += kind.ffn;
    out.norms += 1 + (kind.mixer != Mixer::kNone && kind.ffn && !c.parallel);
  }
  return out;
}
Layers layers_of(const ModelConfig& c) { return layers_of(c, 0, c.n_layers); }

// What recurrent layers keep of a conversation, float32.
int64_t state_bytes(const ModelConfig& c, const Layers& layers) {
  const auto& m = c.mamba;
  return 4 * (layers.mamba * (m.inner() * m.state + (m.kernel - 1) * m.convolved()) +
              layers.convolution * (c.short_conv.kernel - 1) * c.width);
}

// mamba.cc, a token of one layer: the projection, convolution and chunks turned, products inside a chunk, the states
// between chunks. Going forward differences inside a chunk are there in float64 too; on the way back they no longer
// are, and the weights' own gradients need what the convolution gathered.
enum class Pass { kServe, kAdapters, kWeights };
int64_t mamba_bytes(const ModelConfig& c, Pass pass) {
  const auto& m = c.mamba;
  const int64_t chunk = std::max<int64_t>(chunk_of(m), 1);
  const int64_t plain = m.projected() + 3 * m.convolved() + 6 * m.inner();
  const int64_t inside = m.n_heads * chunk * (pass == Pass::kServe ? 5 : 3);
  const int64_t gathered = pass == Pass::kWeights ? m.kernel * m.convolved() : 0;
  const int64_t states = 3 * m.inner() * m.state / chunk;
  // Freed pieces of many sizes leave gaps: as much again on the way back.
  return (pass == Pass::kServe ? 4 : 8) * (plain + inside + gathered + states);
}
int64_t short_conv_bytes(const ModelConfig& c) { return 4 * c.width * (4 + c.short_conv.kernel); }

// What layers keep for their backward pass, tensor by tensor. size: of the compute type; rows: outputs of a layer's
// linears.
int64_t kept_bytes(const ModelConfig& c, const TrainShape& shape, const Layers& layers, int64_t size, int64_t rows) {
  struct Kept {
    int64_t bytes, count;
  };
  const bool lora = shape.rank > 0;
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim, w = c.width, f = c.ffn_width;
  const int64_t tokens = std::max(shape.batch_tokens, shape.longest);
  const auto& m = c.mamba;
  const int64_t r = shape.rank, drop = shape.dropout && lora ? 1 : 0, attending = layers.attention;
  const int64_t recurrent = layers.mamba + layers.convolution;
  const Kept kept[] = {{4 * tokens * w, layers.norms},                  // the residual stream
                       {size * tokens * w, layers.norms * (1 + drop)},  // the norms' outputs, their masks
                       {size * tokens * (q + 2 * kv), attending},       // turned
                       {size * tokens * q, attending * (1 + drop)},     // attention's output, its mask
                       {4 * tokens * c.n_heads, attending},
                       {size * tokens * (c.gated ? 2 : 1) * f, layers.ffn},  // gate and up
                       {size * tokens * f, layers.ffn * (1 + drop)},
                       {size * tokens * m.projected(), layers.mamba},  // all that a Mamba keeps
                       {size * tokens * m.inner(), layers.mamba * (1 + drop)},
                       {4 * tokens * w, layers.convolution * (7 + (lora ? 0 : c.short_conv.kernel))},
                       {size * tokens * r, 4 * attending + 3 * layers.ffn + 2 * recurrent},  // between A and B
                       {size * tokens * rows, shape.dora && lora ? layers.all : 0}};         // outputs before scaling
  int64_t out = 0;
  for (const auto& [bytes, count] : kept) out += bytes * count;
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
  const Layers layers = layers_of(c);
  const int64_t states = batch * state_bytes(c, layers);
  const auto cache = [&](int64_t tokens) { return 2 * layers.attention * tokens * kv * size + states; };
  out.weight_bytes = n_parameters(c) * size;
  out.cache_bytes = cache(batch * context);
  // Of the prompts computed at once, one layer at a time: the residual stream three times (float32), two norms, the
  // queries, keys and values plain, turned and packed, attention's output twice; then either scores or the products of
  // the feed-forward part with the next residual.
  const int64_t tokens = std::min(batch * context, most_tokens(kPrefillTokens, context));
  const int64_t scores = kTileThreads * kTileRows * context * kTileValueBytes;
  const int64_t stream = tokens * (12 * c.width + size * (2 * c.width + 2 * (q + 2 * kv) + 2 * kv + 2 * q));
  int64_t widest = std::max(scores, tokens * size * (3 * c.ffn_width + c.width));
  if (layers.mamba > 0) widest = std::max(widest, tokens * mamba_bytes(c, Pass::kServe));
  if (layers.convolution > 0) widest = std::max(widest, tokens * short_conv_bytes(c));
  const int64_t layer = stream + widest;
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
  const Linears linears = linears_of(c);
  const Layers layers = layers_of(c);
  const bool dora = shape.dora && lora, nf4 = shape.nf4 && lora;
  out.n_adapter_parameters = lora ? shape.rank * linears.adapted : 0;
  if (dora) out.n_adapter_parameters += linears.adapted_rows;
  // Full weights: float32 masters, and copies in the compute type during a step; of one layer and the head where layers
  // are computed again.
  const int64_t copied = shape.recompute ? linears.elements / std::max<int64_t>(1, c.n_layers) + c.vocab_size * w : n;
  out.weight_bytes = lora ? n * size : n * 4 + (size == 4 ? 0 : copied * size);
  out.recompute = shape.recompute;
  if (nf4) {
    const int64_t quantised = linears.elements;
    out.weight_bytes += nf4_bytes(quantised) - quantised * size + linears.largest * size;
  }
  // Float32, and stacked in the compute type, where zeros fill up what several outputs share.
  out.adapter_bytes = out.n_adapter_parameters * (4 + 2 * size);
  // Lengths of the base's rows; some rows of the weight as float32 while the adapted ones are measured.
  if (dora) out.adapter_bytes += linears.rows * 4 + 2 * kNormRows * std::max(w, f) * 4;
  const int64_t trained = lora ? out.n_adapter_parameters : n;
  out.optimiser_bytes = trained * 16;  // two moments, the gradient, the best values so far; float32

  const int64_t rows = linears.rows / std::max<int64_t>(1, c.n_layers);
  out.activation_bytes = kept_bytes(c, shape, layers, size, rows);
  if (shape.recompute) {
    // The stream at the beginning of each, and the layer that is on its way back.
    int64_t most = 0;
    for (int64_t i = 0; i < c.n_layers; ++i)
      most = std::max(most, kept_bytes(c, shape, layers_of(c, i, i + 1), size, rows));
    out.activation_bytes = 4 * tokens * w * c.n_layers + most;
  }
  // On top, the last layer's way back (feed-forward part or attention), or before it the loss.
  // Attention: the gradient, keys and values packed thrice, their gradients' sums in float32, where paths part twice.
  const int64_t attention_back = tokens * (size * (2 * q + 2 * kv + 3 * kv) + 2 * 8 * kv);
  int64_t block_back = std::max(layers.ffn > 0 ? tokens * size * 4 * f : 0, layers.attention > 0 ? attention_back : 0);
  if (layers.mamba > 0)
    block_back = std::max(block_back, tokens * mamba_bytes(c, lora ? Pass::kAdapters : Pass::kWeights));
  const int64_t back = tokens * (8 * w + 2 * w * size) + block_back;
  const int64_t loss = std::min(tokens, kLossRows) * c.vocab_size * size + tokens * w * (8 + 2 * size);
  const int64_t head_gradients = lora ? 0 : 8 * c.vocab_size * w;
  const int64_t on_top = std::max(back, loss) + head_gradients;
  out.activation_bytes += on_top;
  out.compiled_bytes = kCompiledBytes;
  out.total_bytes = kProcessBytes + out.weight_bytes + out.adapter_bytes + out.optimiser_bytes + out.activation_bytes +
                    out.compiled_bytes;
  return out;
}

TrainPlan plan_within(const ModelConfig& c, DType dtype, TrainShape shape, int64_t budget_bytes) {
  shape.recompute = false;
  const TrainPlan held = plan_train(c, dtype, shape);
  if (held.total_bytes <= budget_bytes) return held;
  shape.recompute = true;
  const TrainPlan again = plan_train(c, dtype, shape);
  return again.total_bytes < held.total_bytes ? again : held;  // of one layer, all is held anyway
}

TrainPlan plan_examples(const ModelConfig& c, DType dtype, const ExampleShape& shape) {
  const int64_t longest = std::max<int64_t>(shape.longest, 1);
  TrainShape micro;
  micro.rank = shape.rank;
  micro.longest = longest;
  micro.batch_tokens = std::min(shape.batch * longest, most_tokens(shape.max_tokens, longest));
  return plan_within(c, dtype, micro, shape.budget_bytes);
}

}  // namespace slm::nn
