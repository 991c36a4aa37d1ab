// What a config.json says, checked: one description of a decoder that covers all families this program computes, with
// the differences between them as data. Torch-free.
//
// Errors: kUnsupportedModel for what isn't computed (naming the field, its value and what is known), kBadInput for a
//   damaged or contradictory file.
// Source: transformers 5 `models/*/configuration_*.py` for fields and defaults, `modeling_rope_utils.py` for rotary
//   scaling; both generations of config.json (`rope_theta` and `rope_scaling`; `rope_parameters`).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "schema/json.h"

namespace slm::nn {

// Rotary positions. Frequency i of a plain one is theta^(-2i / rotary_dim).
struct RopeConfig {
  enum class Type { kDefault, kLinear, kDynamic, kYarn, kLlama3, kLongRope };
  Type type = Type::kDefault;
  double theta = 10000, factor = 1;
  double attention_factor = 1;                       // cos and sin are multiplied by it (YaRN, LongRoPE)
  double beta_fast = 32, beta_slow = 1;              // YaRN
  bool truncate = true;                              // YaRN
  double low_freq_factor = 1, high_freq_factor = 4;  // Llama 3
  int64_t original_positions = 0;                    // context before it was stretched
  std::vector<double> short_factors, long_factors;   // LongRoPE, one per frequency
};

// How layers of a model differ.
struct LayerConfig {
  int64_t window = 0;  // a token sees this many tokens, itself included; 0: all before it
  int rope = 0;        // into ModelConfig::ropes; -1: no positions
  bool operator==(const LayerConfig&) const = default;
};

enum class Norm { kRms, kRmsPlusOne, kLayer };  // kRmsPlusOne multiplies by 1 + weight
enum class Activation { kSilu, kGeluTanh };

// Names in a checkpoint, below "model.layers.N." save the last. An empty one doesn't exist there.
struct ModuleNames {
  std::array<std::string_view, 3> qkv;  // one name: a single matrix of q, k and v
  std::string_view o;
  std::array<std::string_view, 2> up;  // gate and up; one name: a single matrix of both, or up alone
  std::string_view down;
  std::string_view norm1, post_norm1, norm2, post_norm2;
  std::string_view final_norm;  // below "model."
};
extern const ModuleNames kLlamaNames;

struct ModelConfig {
  std::string model_type = "llama", architecture = "LlamaForCausalLM";
  int64_t vocab_size = 0, width = 0, n_layers = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0, ffn_width = 0;
  int64_t max_positions = 0;  // context, stretching included
  bool tied_embeddings = false;
  int64_t bos_id = -1;
  std::vector<int64_t> eos_ids;

  const ModuleNames* names = &kLlamaNames;
  Norm norm = Norm::kRms;
  double norm_eps = 1e-5;
  Activation activation = Activation::kSilu;
  bool gated = true;      // act(gate) · up; else act(up)
  bool parallel = false;  // attention and feed-forward part read the same norm (Phi-2); there is no second
  bool qk_norm = false;   // RMS norm of every query and key head, before rotation
  bool qkv_bias = false, o_bias = false, ffn_bias = false, head_bias = false;
  int64_t rotary_dim = 0;                           // leading part of a head that is rotated; 0: all of it
  double attention_scale = 0;                       // of the scores; 0: 1 / √head_dim
  double attention_softcap = 0, logit_softcap = 0;  // c · tanh(x / c); 0: none
  double embedding_scale = 1, residual_scale = 1;   // of embeddings, and of what a block adds to the stream
  double logit_divisor = 1;
  std::vector<RopeConfig> ropes{RopeConfig{}};
  std::vector<LayerConfig> layers;  // n_layers of them, or empty: all plain

  LayerConfig layer(int64_t i) const { return layers.empty() ? LayerConfig{} : layers[static_cast<size_t>(i)]; }
  int64_t rotated() const { return rotary_dim > 0 ? rotary_dim : head_dim; }
  double score_scale() const;
};

// Reads dir/config.json.
Result<ModelConfig> read_config(const std::filesystem::path& dir);
Result<ModelConfig> parse_config(const json::value& value);
// The model types read, for messages and documents.
std::vector<std::string_view> known_model_types();

// A linear of the checkpoint: module name below "model.layers.N." and output width.
struct LinearPart {
  std::string_view name;
  int64_t out = 0;
};
// Linears with the same input lie in one matrix [Σ out, in].
struct LinearSite {
  std::vector<LinearPart> parts;
  int64_t in = 0, out = 0;
  bool bias = false;
};
inline constexpr size_t kSites = 4;  // of a layer: attention in (q, k, v), attention out, feed-forward in, out
std::array<LinearSite, kSites> linear_sites(const ModelConfig& config);

// The tensors of a checkpoint of this model, in its order. Tied output weights are none of their own.
struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;
};
std::vector<CheckpointTensor> checkpoint_tensors(const ModelConfig& config);

// The last parts of the names of all linears of all families: what an adapter may name as targets.
inline constexpr const char* kLinearNames[] = {"q_proj",       "k_proj",  "v_proj",    "o_proj",
                                               "gate_proj",    "up_proj", "down_proj", "qkv_proj",
                                               "gate_up_proj", "dense",   "fc1",       "fc2"};
// Those of one model.
std::vector<std::string> linear_names(const ModelConfig& config);

// Which set of rotary frequencies a sequence of n_tokens takes: 0 for most models and short sequences; LongRoPE and
// dynamic scaling choose by a sequence's own length. Sequences of different keys can't share a beginning.
int32_t rope_key(const ModelConfig& config, int64_t n_tokens);

}  // namespace slm::nn
