// What a config.json says, checked: one description of a decoder that covers all families this program computes, with
// the differences between them as data. Torch-free.
//
// Errors: kUnsupportedModel for what isn't computed (naming the field, its value and what is known), kBadInput for a
//   damaged or contradictory file.
// Source: transformers 5 `models/*/configuration_*.py` for fields and defaults, `modeling_rope_utils.py` for rotary
//   scaling; both generations of config.json (`rope_theta` and `rope_scaling`; `rope_parameters`).
#pragma once

#include <algorithm>
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

// What mixes the tokens of a layer.
enum class Mixer {
  kAttention,
  kMamba,      // Mamba 2: a short convolution and a state that decays
  kShortConv,  // a gated short convolution
  kBoth,       // attention and Mamba 2 side by side, added
  kNone,       // the layer is a feed-forward part alone
};

// How layers of a model differ.
struct LayerConfig {
  int64_t window = 0;  // a token sees this many tokens, itself included; 0: all before it
  int rope = 0;        // into ModelConfig::ropes; -1: no positions
  Mixer mixer = Mixer::kAttention;
  bool ffn = true;  // has a feed-forward part
  bool operator==(const LayerConfig&) const = default;
  bool attends() const { return mixer == Mixer::kAttention || mixer == Mixer::kBoth; }
  bool has_mamba() const { return mixer == Mixer::kMamba || mixer == Mixer::kBoth; }
  bool recurs() const { return has_mamba() || mixer == Mixer::kShortConv; }
};

// Mamba 2. Its input projection gives [gate | x, B, C | dt], of which the convolution sees the middle three.
struct MambaConfig {
  enum class Gate { kPlain, kBeforeNorm, kAfterNorm };  // y · silu(gate), normed after it, before it, or not at all
  int64_t n_heads = 0, head_dim = 0, n_groups = 1, state = 0;  // heads of a group share B and C
  int64_t kernel = 4, chunk = 256;
  double dt_min = 0, dt_max = 0;  // limits of the time steps; dt_max 0: none
  Gate gate = Gate::kBeforeNorm;
  bool conv_bias = true, in_bias = false, out_bias = false;
  std::array<double, 5> multipliers{1, 1, 1, 1, 1};  // of gate, x, B, C and dt
  bool adapts_out = true;                            // peft takes adapters on its output projection
  int64_t inner() const { return n_heads * head_dim; }
  int64_t convolved() const { return inner() + 2 * n_groups * state; }
  int64_t projected() const { return inner() + convolved() + n_heads; }
};

// Tokens of a chunk at most, whatever the model says: beyond this the products inside a chunk cost more than its state.
inline constexpr int64_t kMostChunk = 64;
inline int64_t chunk_of(const MambaConfig& config) { return std::min(config.chunk, kMostChunk); }

// A gated short convolution of the model's width: its input projection gives [B | C | x].
struct ShortConvConfig {
  int64_t kernel = 3;
  bool bias = false;
};

// Factors of a block's inputs and outputs (Falcon-H1); the others are 1.
struct BlockScales {
  double attention_in = 1, attention_out = 1, mamba_in = 1, mamba_out = 1;
  double gate = 1, down = 1;  // of the feed-forward part, before the activation and at its end
};

enum class Norm { kRms, kRmsPlusOne, kLayer };  // kRmsPlusOne multiplies by 1 + weight
enum class Activation { kSilu, kGeluTanh, kReluSquared };

// Names in a checkpoint: of a layer's parts below "<root>layers.N.", of the whole below root. An empty one doesn't
// exist there.
struct ModuleNames {
  std::array<std::string_view, 3> qkv;  // one name: a single matrix of q, k and v
  std::string_view o;
  std::array<std::string_view, 2> up;  // gate and up; one name: a single matrix of both, or up alone
  std::string_view down;
  std::string_view norm1, post_norm1, norm2, post_norm2;
  std::string_view final_norm;
  std::string_view embedding = "embed_tokens";
  std::string_view q_norm = "self_attn.q_norm", k_norm = "self_attn.k_norm";
  std::string_view recurrent;        // the module of Mamba or the short convolution
  std::string_view root = "model.";  // as we write it
  std::string_view other_root = {};  // as other files have it
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
  MambaConfig mamba;                // of layers that have one
  ShortConvConfig short_conv;
  BlockScales scales;

  LayerConfig layer(int64_t i) const { return layers.empty() ? LayerConfig{} : layers[static_cast<size_t>(i)]; }
  int64_t rotated() const { return rotary_dim > 0 ? rotary_dim : head_dim; }
  double score_scale() const;
  bool recurs() const;  // some layer does
};

// Reads a config.json as Python writes one: Infinity is a number there, here {"__float__": "Infinity"} (as newer files
// say it).
Result<json::value> read_config_json(const std::filesystem::path& path);
// Reads dir/config.json.
Result<ModelConfig> read_config(const std::filesystem::path& dir);
Result<ModelConfig> parse_config(const json::value& value);
// The model types read, for messages and documents.
std::vector<std::string_view> known_model_types();

// A linear of the checkpoint: module name below that of its layer, and output width.
struct LinearPart {
  std::string_view name;
  int64_t out = 0;
  bool adapts = true;  // may have an adapter of ours
};
// Linears with the same input lie in one matrix [Σ out, in]. Without parts where a layer has none.
struct LinearSite {
  std::vector<LinearPart> parts;
  int64_t in = 0, out = 0;
  bool bias = false;
};
// Of a layer.
enum LinearPlace : size_t { kAttentionIn, kAttentionOut, kFfnIn, kFfnOut, kRecurrentIn, kRecurrentOut };
inline constexpr size_t kSites = 6;
std::array<LinearSite, kSites> linear_sites(const ModelConfig& config, int64_t layer = 0);
// "model.layers.3."
std::string layer_prefix(const ModelConfig& config, int64_t layer);

// The tensors of a checkpoint of this model, in its order. Tied output weights are none of their own.
struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;
};
std::vector<CheckpointTensor> checkpoint_tensors(const ModelConfig& config);
// A tensor's or module's name with the other root, and with ours; the same name where the family has but one.
std::string other_name(const ModelConfig& config, const std::string& name);
std::string own_name(const ModelConfig& config, const std::string& name);

// The last parts of the names of all linears of all families: what an adapter may name as targets.
inline constexpr const char* kLinearNames[] = {"q_proj",  "k_proj",    "v_proj",       "o_proj",       "gate_proj",
                                               "up_proj", "down_proj", "qkv_proj",     "gate_up_proj", "dense",
                                               "fc1",     "fc2",       "in_proj",      "out_proj",     "w1",
                                               "w2",      "w3",        "input_linear", "output_linear"};
// Those of one model that may have an adapter, each once.
std::vector<std::string> linear_names(const ModelConfig& config);

// Which set of rotary frequencies a sequence of n_tokens takes: 0 for most models and short sequences; LongRoPE and
// dynamic scaling choose by a sequence's own length. Sequences of different keys can't share a beginning.
int32_t rope_key(const ModelConfig& config, int64_t n_tokens);

}  // namespace slm::nn
