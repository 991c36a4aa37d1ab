// The Llama-family decoder: RMS norm, rotary positions (halves convention), grouped-query attention, SwiGLU, tied or
// own output weights; frozen with LoRA adapters, or with all weights trainable. Torch headers: only nn and finetune
// include this.
//
// Shapes: see ops.h. q, k, v lie in one matrix, gate and up in another; the checkpoint's names are slices of them.
// Errors: as in engine.h.
// Threads: one call at a time.
// Source: transformers `models/llama/modeling_llama.py` for the names and the order of operations;
//   peft `tuners/lora/layer.py` for LoRA (ΔW = s·B·A, s = alpha/r, or alpha/√r with rslora).
#pragma once

#include <torch/types.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/random.h"
#include "nn/batch.h"
#include "nn/engine.h"
#include "nn/ops.h"

namespace slm::nn {

struct LoraConfig {
  int64_t rank = 8;
  double alpha = 16;
  double dropout = 0;  // of the adapter's input; linears that read the same input share one mask
  bool rslora = false;
  std::vector<std::string> targets;  // "q_proj", "gate_proj", … ; empty: all seven
  double scale() const;
};
inline constexpr const char* kLinearNames[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                               "gate_proj", "up_proj", "down_proj"};

// One adapted linear of the checkpoint.
struct LoraPair {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  at::Tensor a, b;     // [r, in], [out, r], float32
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

class Decoder {
 public:
  struct Options {
    at::ScalarType compute = at::kFloat;  // of matrix products
    at::Device device = at::kCPU;
    bool trainable = false;  // all weights float32 leaves; else frozen in the compute type
  };
  // Random weights: normal with deviation 0.02, projections into the residual stream divided by √(2·layers); norms 1.
  static Result<Decoder> random(const ModelConfig& config, uint64_t seed, const Options& options);
  static Result<Decoder> load(const std::filesystem::path& dir, const Options& options);

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
  // The checkpoint's tensors by name, as views of the weights.
  std::vector<TensorSlice> weights() const;

  // Weighted loss of a batch, with a gradient if gradients are on. dropout_seed matters only with LoRA dropout.
  CrossEntropy loss(const RowBatch& batch, uint64_t dropout_seed = 0);
  // Logits of every token, [N, V] float32 (float64 in a float64 model); no gradient.
  at::Tensor logits(const RowBatch& batch);

  // Decoding. Keys and values of a layer: [B, K, capacity, D].
  struct LayerCache {
    at::Tensor keys, values;
  };
  // Runs the prompts, computing a beginning that several share once. Returns logits [B, V] float32 after each one's
  // last token. Requires: capacity ≥ the longest prompt; no prompt is empty.
  at::Tensor prefill(std::span<const std::vector<int32_t>> prompts, int64_t capacity, std::vector<LayerCache>& cache);
  // One token a row, at position lengths[row]; writes its key and value there.
  at::Tensor step(const std::vector<int32_t>& ids, const std::vector<int64_t>& lengths, std::vector<LayerCache>& cache);

 private:
  struct Layer {
    at::Tensor norm1, qkv, o, norm2, gate_up, down;
  };
  // Adapters on one matrix: per output segment (q, k, v / o / gate, up / down) a pair or nothing.
  struct Site {
    std::vector<int64_t> out_sizes;
    std::vector<std::string> modules;
    std::vector<at::Tensor> a, b;   // undefined where not adapted
    at::Tensor packed_a, packed_b;  // for frozen adapters: made once, in the compute type
  };
  Decoder(ModelConfig config, Options options);
  void allocate();
  void rotary_tables(int64_t positions);
  std::vector<Site> empty_sites() const;  // 4 a layer: qkv, o, gate_up, down
  void pack(Site& site) const;
  std::pair<at::Tensor, at::Tensor> packed(const Site& site) const;
  at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, size_t site) const;
  at::Tensor cast(const at::Tensor& weight) const;
  at::Tensor embed(const at::Tensor& ids) const;
  const at::Tensor& head() const { return config_.tied_embeddings ? embedding_ : head_; }
  AttentionContext attention_context(const RowBatch& batch);
  // Residual stream and the last block's output, not yet added. `cache`, if not null, gets each layer's keys and values
  // as they lie in the batch: [rows, K, T, D].
  NormOut run(const RowBatch& batch, std::vector<LayerCache>* cache);
  // The final norm of the states at `flat`, in the compute type.
  at::Tensor final_states(const NormOut& states, const std::vector<int32_t>& flat) const;

  ModelConfig config_;
  Options options_;
  at::Tensor embedding_, head_, final_norm_;
  std::vector<Layer> layers_;
  LoraConfig lora_config_;
  std::vector<Site> lora_;  // empty without adapters
  at::Tensor cos_, sin_;
  std::optional<at::Generator> dropout_;
};

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
