// One decoder for all families of nn/config.h: rotary positions (halves convention), grouped-query attention, Mamba 2,
// short convolutions, a feed-forward part; frozen with LoRA adapters, or with all weights trainable. What differs
// between families is data in ModelConfig. Torch headers: only nn and finetune include this.
//
// Shapes: see ops.h. Linears that read the same input lie in one matrix; the checkpoint's names are slices of them.
// Errors: as in engine.h.
// Threads: one call at a time.
// Source: transformers `models/{llama,mistral,qwen2,qwen3,smollm3,granite,phi,phi3,gemma,gemma2,gemma3,nemotron_h,
//   granitemoehybrid,lfm2,falcon_h1}/modeling_*.py`
//   for the names and the order of operations;
//   peft `tuners/lora/layer.py` for LoRA (ΔW = s·B·A, s = alpha/r, or alpha/√r with rslora).
#pragma once

#include <torch/types.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/random.h"
#include "nn/attention.h"
#include "nn/batch.h"
#include "nn/distil.h"
#include "nn/dropout.h"
#include "nn/engine.h"
#include "nn/mamba.h"
#include "nn/nf4.h"
#include "nn/ops.h"
#include "nn/rope.h"
#include "nn/safetensors.h"

namespace slm::nn {

// Of norms, adapters and sums in a model that computes in `compute`.
inline at::ScalarType wide_type(at::ScalarType compute) { return compute == at::kDouble ? at::kDouble : at::kFloat; }

struct LoraConfig {
  int64_t rank = 8;
  double alpha = 16;
  double dropout = 0;  // of the adapter's input; linears that read the same input share one mask
  bool rslora = false;
  bool dora = false;                 // rows of W + s·B·A are brought to a trained length (arXiv 2402.09353)
  std::vector<std::string> targets;  // of linear_names(config): "q_proj", "gate_proj", …; empty: all
  double scale() const;
};

// One adapted linear of the checkpoint.
struct LoraPair {
  std::string module;         // "model.layers.0.self_attn.q_proj"
  at::Tensor a, b;            // [r, in], [out, r], float32
  at::Tensor magnitude = {};  // [out], with DoRA
};

struct Parameter {
  std::string name;
  at::Tensor value;    // a leaf that takes gradients, float32 (float64 in a float64 model)
  bool decay = false;  // matrices take weight decay, norms don't
};

struct TensorSlice {
  std::string name;  // the checkpoint's
  at::Tensor value;  // a view
};

// The layers' linears in 4 bits (nf4.h), each tensor of the checkpoint by itself; never embeddings, head or norms.
enum class Nf4Base {
  kNo,
  kPacked,   // held in 4 bits, dequantised where used: for training
  kRounded,  // the same values, held in the compute type: for generating
};

class Decoder {
 public:
  struct Options {
    at::ScalarType compute = at::kFloat;  // of matrix products
    at::Device device = at::kCPU;
    bool trainable = false;      // all weights float32 leaves; else frozen in the compute type
    Nf4Base nf4 = Nf4Base::kNo;  // Requires: not trainable
  };
  // Random weights: normal with deviation 0.02, projections into the residual stream divided by √(2·layers); norms 1.
  static Result<Decoder> random(const ModelConfig& config, uint64_t seed, const Options& options);
  static Result<Decoder> load(const std::filesystem::path& dir, const Options& options);
  static Result<Decoder> from_weights(const ModelConfig& config, const WeightFiles& files, const Options& options);

  const ModelConfig& config() const { return config_; }
  const Options& options() const { return options_; }
  bool has_lora() const { return !lora_.empty(); }

  // Fresh adapters: A uniform as Kaiming with a = √5 (peft's default), B zero. Replaces any.
  Status add_lora(const LoraConfig& lora, uint64_t seed, bool trainable);
  // Given adapters. Errors: kManifestMismatch when a module or shape doesn't fit.
  Status set_lora(const LoraConfig& lora, std::vector<LoraPair> pairs, bool trainable);
  void clear_lora();
  std::vector<LoraPair> lora_pairs() const;
  const LoraConfig& lora() const { return lora_config_; }

  // What training changes: all weights, or the adapters.
  std::vector<Parameter> parameters() const;
  // The checkpoint's tensors by name, as views of the weights (without data, on at::kMeta, where they are packed); and
  // of their gradients, undefined where there is none.
  std::vector<TensorSlice> weights() const;
  std::vector<TensorSlice> gradients() const;

  // Weighted loss of a batch, with a gradient if gradients are on.
  struct LossOptions {
    uint64_t dropout_seed = 0;             // matters only with LoRA dropout: one a step
    const Distillation* distil = nullptr;  // its teacher's scores are of the same batch
    // Only the layers' inputs are held for the backward pass, which computes them again (nn/checkpoint.h); until then
    // the decoder stays where and as it is. Less memory, about a third more time; the same bits.
    bool recompute = false;
  };
  CrossEntropy loss(const ForestBatch& batch, const LossOptions& options);
  CrossEntropy loss(const ForestBatch& batch) { return loss(batch, LossOptions()); }
  // What it says of the positions of the loss; no gradient.
  Scores scores(const ForestBatch& batch);
  // Logits of every token, [N, V] float32 (float64 in a float64 model); no gradient.
  at::Tensor logits(const ForestBatch& batch);

  // Decoding. Keys and values of a layer: [B, K, capacity, D]; undefined where it doesn't attend. What a recurrent one
  // keeps; undefined in others.
  struct LayerCache {
    at::Tensor keys, values;
    RecurrentState recurrent;
  };
  // Runs the prompts, computing a beginning that several share once. Returns logits [B, V] float32 after each one's
  // last token. Requires: capacity ≥ the longest prompt; no prompt is empty.
  at::Tensor prefill(std::span<const std::vector<int32_t>> prompts, int64_t capacity, std::vector<LayerCache>& cache);
  // One token a row, at position lengths[row]; writes its key and value there. rope_keys: of the prompts, when each
  // began (its positions keep to one set of frequencies); empty: all 0.
  struct StepRows {
    std::vector<int32_t> ids;
    std::vector<int64_t> lengths;
    std::vector<int32_t> rope_keys;
  };
  at::Tensor step(const StepRows& rows, std::vector<LayerCache>& cache);

 private:
  struct Linear {
    at::Tensor weight, bias;  // [out, in], [out] or undefined
    std::vector<Nf4> packed;  // with Nf4Base::kPacked: per linear of the checkpoint; weight has no data then
  };
  struct NormWeights {
    at::Tensor weight, bias;  // [C], float32; undefined where there is none
  };
  struct Layer {
    std::array<Linear, kSites> linears;  // as linear_sites() has them
    NormWeights norm1, post1, norm2, post2;
    at::Tensor q_norm, k_norm;  // [D]
    MambaWeights recurrent;     // of a short convolution only conv
  };
  // Adapters on one matrix: per linear of the checkpoint a pair or nothing.
  struct Site {
    int64_t in = 0;
    std::vector<int64_t> out_sizes;
    std::vector<std::string> modules;
    std::vector<bool> adapts;                     // may have a fresh one
    std::vector<at::Tensor> a, b, magnitude;      // undefined where not adapted; the last also without DoRA
    at::Tensor row_squares;                       // with DoRA: ‖row‖² of the whole matrix, [Σ out]
    at::Tensor packed_a, packed_b, packed_scale;  // for frozen adapters: made once, in the compute type
  };
  Decoder(ModelConfig config, Options options);
  static Status check(const Options& options);
  void allocate();
  void set_nf4(Linear& linear, int64_t first_row, const at::Tensor& weight) const;
  // Calls use(checkpoint name, our tensor, first row, rows) for every tensor of the checkpoint; rows −1: all.
  template <class Use>
  void walk_weights(const Use& use) const;
  std::vector<Site> empty_sites() const;  // kSites a layer
  void pack(Site& site, const Linear& base) const;
  void set_magnitudes(Site& site, const Linear& base, bool trainable) const;
  std::pair<at::Tensor, at::Tensor> packed(const Site& site) const;
  // With DoRA: what each output row is multiplied by, [Σ out]; gradients go to the magnitudes only.
  at::Tensor row_scale(const Site& site, const Linear& base) const;
  // How tokens meet: attend(layer, qkv, context) gives attention's output, recur(layer, projected) a recurrent one's.
  // And what is dropped out of the adapters' inputs; null: nothing.
  struct Mixing {
    std::function<at::Tensor(size_t, const at::Tensor&, const AttentionContext&)> attend;
    std::function<at::Tensor(size_t, const at::Tensor&)> recur;
    std::shared_ptr<const Dropout> dropout = {};
  };
  // x · Wᵀ + bias of the base alone.
  at::Tensor base_linear(const at::Tensor& x, const Linear& base, const at::Tensor& bias) const;
  at::Tensor linear(const at::Tensor& x, size_t layer, size_t site, const Mixing& mixing) const;
  at::Tensor cast(const at::Tensor& weight) const;
  at::Tensor embed(const std::vector<int32_t>& ids) const;
  NormOut norm(const at::Tensor& x, const at::Tensor& y, const NormWeights& weights) const;
  at::Tensor feed_forward(const at::Tensor& x, size_t layer, const Mixing& mixing) const;
  // What a block adds to the stream: its output after the family's own norm and scale.
  at::Tensor added(const at::Tensor& block, const NormWeights& post) const;
  // The head's matrix in the compute type, and states as it takes them: with a bias it has a column more.
  at::Tensor head() const;
  at::Tensor head_input(const at::Tensor& states) const;
  at::Tensor head_logits(const at::Tensor& states) const;
  AttentionShape shape() const;
  // What attention needs, for each kind of layer. Without paths when the batch has no nodes.
  std::vector<AttentionContext> contexts(const ForestBatch& batch);
  Mixing mix_forest(const ForestBatch& batch) const;
  Recurrence recurrence(const ForestBatch& batch) const;
  // Runs the layers. Returns the residual stream and the last block's output, not yet added. recompute: as in
  // LossOptions.
  NormOut run_layers(const ForestBatch& batch, Mixing mixing, bool recompute = false);
  // in: the residual stream and the output of the block before, which may be undefined.
  NormOut run_layer(size_t layer, NormOut in, const AttentionContext& context, const Mixing& mixing) const;
  at::Tensor mix(const at::Tensor& x, size_t layer, const AttentionContext& context, const Mixing& mixing) const;
  // The final norm of the states at `flat`, in the compute type.
  at::Tensor final_states(const NormOut& states, const std::vector<int32_t>& flat) const;

  ModelConfig config_;
  Options options_;
  at::Tensor embedding_, head_, head_bias_;
  NormWeights final_norm_;
  std::vector<Layer> layers_;
  LoraConfig lora_config_;
  std::vector<Site> lora_;          // empty without adapters
  std::vector<LayerConfig> kinds_;  // the different ones
  std::vector<size_t> kind_of_;     // layer → kind
  std::vector<RopeTable> tables_;   // of a kind, for key 0
};

// A file's element type ("BF16", …) as torch's; a tensor of a file, copied. Errors: kUnsupportedModel, kOutOfMemory.
Result<at::ScalarType> torch_type(const std::string& dtype);
Result<at::Tensor> tensor_of(const TensorView& view);

// "cpu", "cuda" or "cuda:1". Errors: kUsage for another name, kOutOfMemory where libtorch sees no such device.
Result<at::Device> open_device(const std::string& name);

// Runs f and turns torch's exceptions into an Error. f returns a Result or Status.
template <class F>
auto guarded(F&& f) -> decltype(f());
Error torch_error(const std::exception& e);

template <class F>
auto guarded(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::exception& e) {
    return tl::unexpected<Error>(torch_error(e));
  }
}

}  // namespace slm::nn
