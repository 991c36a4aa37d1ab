// config.json → ModelConfig: a table of families, and a refusal of everything else by name.
#include "nn/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/file.h"
#include "nn/config_fields.h"
#include "nn/engine.h"

namespace slm::nn {

const ModuleNames kLlamaNames{{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                              "self_attn.o_proj",
                              {"mlp.gate_proj", "mlp.up_proj"},
                              "mlp.down_proj",
                              "input_layernorm",
                              "",
                              "post_attention_layernorm",
                              "",
                              "norm"};

namespace {

const ModuleNames kGemmaNames{{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                              "self_attn.o_proj",
                              {"mlp.gate_proj", "mlp.up_proj"},
                              "mlp.down_proj",
                              "input_layernorm",
                              "post_attention_layernorm",
                              "pre_feedforward_layernorm",
                              "post_feedforward_layernorm",
                              "norm"};
const ModuleNames kPhi3Names{{"self_attn.qkv_proj", "", ""},
                             "self_attn.o_proj",
                             {"mlp.gate_up_proj", ""},
                             "mlp.down_proj",
                             "input_layernorm",
                             "",
                             "post_attention_layernorm",
                             "",
                             "norm"};
const ModuleNames kPhiNames{{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                            "self_attn.dense",
                            {"mlp.fc1", ""},
                            "mlp.fc2",
                            "input_layernorm",
                            "",
                            "",
                            "",
                            "final_layernorm"};

const ModuleNames kNemotronHNames{.qkv = {"mixer.q_proj", "mixer.k_proj", "mixer.v_proj"},
                                  .o = "mixer.o_proj",
                                  .up = {"mixer.up_proj", ""},
                                  .down = "mixer.down_proj",
                                  .norm1 = "norm",
                                  .post_norm1 = "",
                                  .norm2 = "",
                                  .post_norm2 = "",
                                  .final_norm = "norm_f",
                                  .embedding = "embeddings",
                                  .recurrent = "mixer",
                                  .root = "backbone.",
                                  .other_root = "model."};
const ModuleNames kGraniteHybridNames{.qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                                      .o = "self_attn.o_proj",
                                      .up = {"shared_mlp.input_linear", ""},
                                      .down = "shared_mlp.output_linear",
                                      .norm1 = "input_layernorm",
                                      .post_norm1 = "",
                                      .norm2 = "post_attention_layernorm",
                                      .post_norm2 = "",
                                      .final_norm = "norm",
                                      .recurrent = "mamba"};
const ModuleNames kLfm2Names{.qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                             .o = "self_attn.out_proj",
                             .up = {"feed_forward.w1", "feed_forward.w3"},
                             .down = "feed_forward.w2",
                             .norm1 = "operator_norm",
                             .post_norm1 = "",
                             .norm2 = "ffn_norm",
                             .post_norm2 = "",
                             .final_norm = "embedding_norm",
                             .q_norm = "self_attn.q_layernorm",
                             .k_norm = "self_attn.k_layernorm",
                             .recurrent = "conv"};
const ModuleNames kFalconH1Names{.qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                                 .o = "self_attn.o_proj",
                                 .up = {"feed_forward.gate_proj", "feed_forward.up_proj"},
                                 .down = "feed_forward.down_proj",
                                 .norm1 = "input_layernorm",
                                 .post_norm1 = "",
                                 .norm2 = "pre_ff_layernorm",
                                 .post_norm2 = "",
                                 .final_norm = "final_layernorm",
                                 .recurrent = "mamba"};

// Where a family's layers get their window from.
enum class Windows {
  kNone,
  kAll,         // sliding_window, of every layer
  kFromLayer,   // with use_sliding_window, layers from max_window_layers on (layer_types, where given, says which)
  kLayerTypes,  // layer_types, else every sliding_window_pattern-th layer is a full one
};

struct Family {
  std::string_view model_type, architecture;
  const ModuleNames* names = &kLlamaNames;
  Norm norm = Norm::kRms;
  std::string_view eps_key = "rms_norm_eps";
  double eps = 1e-6;
  std::string_view activation = "silu", activation_key = "hidden_act", ffn_key = "intermediate_size";
  bool gated = true, parallel = false, qk_norm = false, tied = false;
  bool biased_qkv = false, biased = false;  // always: q, k and v; every linear and the head
  bool reads_attention_bias = false, reads_mlp_bias = false;
  bool root_scaled_embedding = false;  // × √width
  bool softcaps_attention = false, softcaps_logits = false;
  bool has_multipliers = false;  // Granite's four
  bool skips_ropes = false;      // SmolLM3's layers without positions
  Windows windows = Windows::kNone;
  int64_t window = 0, pattern = 0;  // defaults
  int64_t head_dim = 0;             // default; 0: width / heads
  RopeDefaults rope = {};
  Hybrid hybrid = Hybrid::kNone;
};

// Designated rows: what isn't named is as in a Llama.
const Family kFamilies[] = {
    {.model_type = "llama", .architecture = "LlamaForCausalLM", .reads_attention_bias = true, .reads_mlp_bias = true},
    {.model_type = "mistral", .architecture = "MistralForCausalLM", .windows = Windows::kAll, .window = 4096},
    {.model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .biased_qkv = true,
     .windows = Windows::kFromLayer,
     .window = 4096},
    {.model_type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .qk_norm = true,
     .reads_attention_bias = true,
     .windows = Windows::kFromLayer,
     .window = 4096,
     .head_dim = 128},
    {.model_type = "smollm3",
     .architecture = "SmolLM3ForCausalLM",
     .tied = true,
     .reads_attention_bias = true,
     .reads_mlp_bias = true,
     .skips_ropes = true,
     .windows = Windows::kFromLayer,
     .rope = {.theta = 2e6}},
    {.model_type = "granite",
     .architecture = "GraniteForCausalLM",
     .reads_attention_bias = true,
     .reads_mlp_bias = true,
     .has_multipliers = true},
    {.model_type = "phi",
     .architecture = "PhiForCausalLM",
     .names = &kPhiNames,
     .norm = Norm::kLayer,
     .eps_key = "layer_norm_eps",
     .eps = 1e-5,
     .activation = "gelu_new",
     .gated = false,
     .parallel = true,
     .biased = true,
     .rope = {.partial = 0.5}},
    {.model_type = "phi3",
     .architecture = "Phi3ForCausalLM",
     .names = &kPhi3Names,
     .eps = 1e-5,
     .windows = Windows::kAll,
     .rope = {.only_longrope = true}},
    {.model_type = "gemma",
     .architecture = "GemmaForCausalLM",
     .norm = Norm::kRmsPlusOne,
     .activation = "gelu_pytorch_tanh",
     .tied = true,
     .reads_attention_bias = true,
     .root_scaled_embedding = true,
     .head_dim = 256},
    {.model_type = "gemma2",
     .architecture = "Gemma2ForCausalLM",
     .names = &kGemmaNames,
     .norm = Norm::kRmsPlusOne,
     .activation = "gelu_pytorch_tanh",
     .tied = true,
     .reads_attention_bias = true,
     .root_scaled_embedding = true,
     .softcaps_attention = true,
     .softcaps_logits = true,
     .windows = Windows::kLayerTypes,
     .window = 4096,
     .pattern = 2,
     .head_dim = 256},
    {.model_type = "gemma3_text",
     .architecture = "Gemma3ForCausalLM",
     .names = &kGemmaNames,
     .norm = Norm::kRmsPlusOne,
     .activation = "gelu_pytorch_tanh",
     .qk_norm = true,
     .tied = true,
     .reads_attention_bias = true,
     .root_scaled_embedding = true,
     .softcaps_logits = true,
     .windows = Windows::kLayerTypes,
     .window = 4096,
     .pattern = 6,
     .head_dim = 256,
     .rope = {.theta = 1e6, .by_layer_type = true}},
    {.model_type = "nemotron_h",
     .architecture = "NemotronHForCausalLM",
     .names = &kNemotronHNames,
     .eps_key = "layer_norm_epsilon",
     .eps = 1e-5,
     .activation = "relu2",
     .activation_key = "mlp_hidden_act",
     .gated = false,
     .reads_mlp_bias = true,
     .head_dim = 128,
     .hybrid = Hybrid::kNemotronH},
    {.model_type = "granitemoehybrid",
     .architecture = "GraniteMoeHybridForCausalLM",
     .names = &kGraniteHybridNames,
     .ffn_key = "shared_intermediate_size",
     .reads_attention_bias = true,
     .has_multipliers = true,
     .hybrid = Hybrid::kGranite},
    {.model_type = "lfm2",
     .architecture = "Lfm2ForCausalLM",
     .names = &kLfm2Names,
     .eps_key = "norm_eps",
     .eps = 1e-5,
     .qk_norm = true,
     .tied = true,
     .rope = {.theta = 1e6},
     .hybrid = Hybrid::kLfm2},
    {.model_type = "falcon_h1",
     .architecture = "FalconH1ForCausalLM",
     .names = &kFalconH1Names,
     .eps = 1e-5,
     .reads_attention_bias = true,
     .reads_mlp_bias = true,
     .hybrid = Hybrid::kFalconH1},
};

// Known, and not computed.
constexpr struct {
  std::string_view model_type, reason;
} kRefused[] = {
    {"hymba", "no program that its numbers could be compared with knows it (transformers has no Hymba)"},
    {"phi3small", "no program that its numbers could be compared with knows it (transformers has no Phi-3-small)"},
    {"lfm2_moe", "mixtures of experts aren't computed"},
    {"granitemoe", "mixtures of experts aren't computed"},
    {"granitemoeshared", "mixtures of experts aren't computed"},
    {"phimoe", "mixtures of experts aren't computed"},
    {"mixtral", "mixtures of experts aren't computed"},
    {"qwen2_moe", "mixtures of experts aren't computed"},
    {"qwen3_moe", "mixtures of experts aren't computed"},
};

Result<const Family*> want_family(const json::object& object) {
  const auto type = get_string(object, "model_type");
  for (const auto& family : kFamilies) {
    if (family.model_type != type) continue;
    if (const auto* names = get_array(object, "architectures"); names != nullptr && !names->empty()) {
      const auto& name = (*names)[0];
      if (!name.is_string() || std::string_view(name.get_string()) != family.architecture)
        return unsupported("architectures", json::serialize(*names), fmt::format("[\"{}\"]", family.architecture));
    }
    return &family;
  }
  for (const auto& refused : kRefused)
    if (refused.model_type == type)
      return fail(ErrorCode::kUnsupportedModel,
                  fmt::format("config.json: model_type is \"{}\": {}", type, refused.reason),
                  fmt::format("models of these types load: {}", fmt::join(known_model_types(), ", ")));
  return unsupported("model_type", type.empty() ? "missing" : fmt::format("\"{}\"", type),
                     fmt::format("{}", fmt::join(known_model_types(), ", ")));
}

Status read_sizes(const json::object& object, const Family& family, ModelConfig& out) {
  SLM_TRY(out.vocab_size, want_size(object, "vocab_size"));
  SLM_TRY(out.width, want_size(object, "hidden_size"));
  SLM_TRY(out.n_layers, want_layers(object, family.hybrid));
  SLM_TRY(out.n_heads, want_size(object, "num_attention_heads"));
  SLM_TRY(out.n_kv_heads, want_size(object, "num_key_value_heads", out.n_heads));
  // LFM2's first files have the name that its makers gave it, which wins where both are.
  SLM_TRY(out.ffn_width, want_size(object, family.ffn_key,
                                   family.hybrid == Hybrid::kLfm2 ? get_int(object, "block_ff_dim") : std::nullopt));
  if (out.n_heads % out.n_kv_heads != 0)
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: num_attention_heads {} isn't a multiple of num_key_value_heads {}",
                            out.n_heads, out.n_kv_heads));
  if (!is_given(object, "head_dim") && family.head_dim == 0 && out.width % out.n_heads != 0)
    return fail(
        ErrorCode::kBadInput,
        fmt::format("config.json: hidden_size {} isn't a multiple of num_attention_heads {}", out.width, out.n_heads));
  SLM_TRY(out.head_dim, want_size(object, "head_dim", family.head_dim > 0 ? family.head_dim : out.width / out.n_heads));
  SLM_TRY(out.max_positions, want_size(object, "max_position_embeddings", 2048, kMaxPositions));
  return {};
}

Status read_activation(const json::object& object, const Family& family, ModelConfig& out) {
  const std::string_view key = is_given(object, "hidden_activation") ? "hidden_activation" : family.activation_key;
  std::string_view name = get_string(object, key, family.activation);
  // The first releases of Gemma say "gelu" and mean the tanh form.
  if (family.model_type == "gemma" && name == "gelu") name = "gelu_pytorch_tanh";
  if (name == "silu" || name == "swish")
    out.activation = Activation::kSilu;
  else if (name == "gelu_pytorch_tanh" || name == "gelu_new")
    out.activation = Activation::kGeluTanh;
  else if (name == "relu2" && family.hybrid == Hybrid::kNemotronH)
    out.activation = Activation::kReluSquared;
  else
    return unsupported(key, fmt::format("\"{}\"", name), "\"silu\", \"swish\", \"gelu_pytorch_tanh\", \"gelu_new\"");
  return {};
}

Status read_biases(const json::object& object, const Family& family, ModelConfig& out) {
  const auto flag = [&](std::string_view key, bool read) -> Result<bool> {
    const bool on = get_bool(object, key).value_or(false);
    if (on && !read) return unsupported(key, "true", "false");
    return on;
  };
  SLM_TRY(const bool attention, flag("attention_bias", family.reads_attention_bias));
  SLM_TRY(const bool mlp, flag("mlp_bias", family.reads_mlp_bias));
  out.qkv_bias = attention || family.biased_qkv || family.biased;
  out.o_bias = attention || family.biased;
  out.ffn_bias = mlp || family.biased;
  out.head_bias = family.biased;
  return {};
}

// Layers whose layer_types entry is "sliding_attention"; empty where the file doesn't say.
Result<std::vector<bool>> read_layer_types(const json::object& object, int64_t n_layers) {
  std::vector<bool> out;
  if (!is_given(object, "layer_types")) return out;
  const auto* types = get_array(object, "layer_types");
  if (types == nullptr || static_cast<int64_t>(types->size()) != n_layers)
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: layer_types isn't a list of {}, one for each layer", n_layers));
  for (const auto& type : *types) {
    const std::string_view name = type.is_string() ? std::string_view(type.get_string()) : std::string_view();
    if (name != "sliding_attention" && name != "full_attention")
      return unsupported("layer_types", json::serialize(type), "\"full_attention\", \"sliding_attention\"");
    out.push_back(name == "sliding_attention");
  }
  return out;
}

Status read_layers(const json::object& object, const Family& family, ModelConfig& out) {
  out.layers.assign(static_cast<size_t>(out.n_layers), {});
  const bool none = find(object, "sliding_window") != nullptr && !is_given(object, "sliding_window");
  int64_t window = 0;
  if (family.windows != Windows::kNone && !none && (is_given(object, "sliding_window") || family.window > 0)) {
    SLM_TRY(window, want_size(object, "sliding_window", family.window, kMaxPositions));
  }
  if (family.hybrid != Hybrid::kNone) return {};  // read_hybrid() says
  SLM_TRY(auto sliding, read_layer_types(object, out.n_layers));
  if (family.windows == Windows::kFromLayer && !get_bool(object, "use_sliding_window").value_or(false)) window = 0;
  // SmolLM3's layers without positions: the list has 0 for them.
  const int64_t interval = get_int(object, "no_rope_layer_interval").value_or(4);
  const auto* with_rope = get_array(object, "no_rope_layers");
  if (family.skips_ropes && with_rope != nullptr && static_cast<int64_t>(with_rope->size()) != out.n_layers)
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: no_rope_layers isn't a list of {}, one for each layer", out.n_layers));
  if (family.skips_ropes && interval < 1)
    return fail(ErrorCode::kBadInput, fmt::format("config.json: no_rope_layer_interval is {}, at least 1", interval));
  const int64_t pattern = get_int(object, "sliding_window_pattern").value_or(family.pattern);
  if (family.windows == Windows::kLayerTypes && pattern < 1)
    return fail(ErrorCode::kBadInput, fmt::format("config.json: sliding_window_pattern is {}, at least 1", pattern));
  const int64_t from = get_int(object, "max_window_layers").value_or(28);
  for (int64_t i = 0; i < out.n_layers; ++i) {
    auto& layer = out.layers[static_cast<size_t>(i)];
    if (family.skips_ropes) {
      bool rope = (i + 1) % interval != 0;
      if (with_rope != nullptr) {
        const auto& value = (*with_rope)[static_cast<size_t>(i)];
        rope = value.is_bool() ? value.get_bool() : value.is_int64() && value.get_int64() != 0;
      }
      layer.rope = rope ? 0 : -1;
    }
    bool slides = window > 0;
    if (family.windows == Windows::kFromLayer)
      slides = slides && (!sliding.empty()     ? sliding[static_cast<size_t>(i)]
                          : family.skips_ropes ? layer.rope < 0
                                               : i >= from);
    if (family.windows == Windows::kLayerTypes)
      slides = slides && (sliding.empty() ? (i + 1) % pattern != 0 : sliding[static_cast<size_t>(i)]);
    if (slides) layer.window = window;
    if (family.rope.by_layer_type) layer.rope = slides ? 1 : 0;
  }
  return {};
}

Status read_multipliers(const json::object& object, const Family& family, ModelConfig& out) {
  if (family.has_multipliers) {
    SLM_TRY(out.embedding_scale, want_positive(object, "embedding_multiplier", 1.0));
    SLM_TRY(out.residual_scale, want_positive(object, "residual_multiplier", 1.0));
    SLM_TRY(out.attention_scale, want_positive(object, "attention_multiplier", 1.0));
    SLM_TRY(out.logit_divisor, want_positive(object, "logits_scaling", 1.0));
  }
  if (family.root_scaled_embedding) out.embedding_scale = std::sqrt(static_cast<double>(out.width));
  if (family.windows == Windows::kLayerTypes) {  // Gemma 2 and 3
    SLM_TRY(const double scalar, want_positive(object, "query_pre_attn_scalar", 256.0));
    out.attention_scale = 1 / std::sqrt(scalar);
  }
  const auto cap = [&](std::string_view key, bool known, double otherwise) -> Result<double> {
    const bool said = find(object, key) != nullptr;
    if (!is_given(object, key)) return said || !known ? 0 : otherwise;
    if (!known) return unsupported(key, json::serialize(*find(object, key)), "null");
    return want_positive(object, key);
  };
  SLM_TRY(out.attention_softcap, cap("attn_logit_softcapping", family.softcaps_attention, 50.0));
  SLM_TRY(out.logit_softcap,
          cap("final_logit_softcapping", family.softcaps_logits, family.softcaps_attention ? 30 : 0));
  return {};
}

Status refuse_the_rest(const json::object& object) {
  if (const auto tp = get_int(object, "pretraining_tp"); tp && *tp != 1)
    return unsupported("pretraining_tp", fmt::format("{}", *tp), "1");
  if (is_given(object, "quantization_config"))
    return unsupported("quantization_config", "set", "none (plain float weights)");
  for (const std::string_view key : {"qk_layernorm", "use_bidirectional_attention"})
    if (get_bool(object, key).value_or(false)) return unsupported(key, "true", "false");
  return {};
}

}  // namespace

std::vector<std::string_view> known_model_types() {
  std::vector<std::string_view> out;
  for (const auto& family : kFamilies) out.push_back(family.model_type);
  return out;
}

Result<int64_t> want_size(const json::object& object, std::string_view key, std::optional<int64_t> otherwise,
                          int64_t most) {
  if (!is_given(object, key)) {
    if (otherwise) return *otherwise;
    return fail(ErrorCode::kBadInput, fmt::format("config.json: \"{}\" is missing", key));
  }
  const auto n = get_int(object, key);
  if (!n || *n < 1 || *n > most)
    return fail(ErrorCode::kBadInput, fmt::format("config.json: \"{}\" is {}, expected 1 to {}", key,
                                                  json::serialize(*find(object, key)), most));
  return *n;
}

Result<double> want_positive(const json::object& object, std::string_view key, std::optional<double> otherwise) {
  if (!is_given(object, key)) {
    if (otherwise) return *otherwise;
    return fail(ErrorCode::kBadInput, fmt::format("config.json: \"{}\" is missing", key));
  }
  const auto x = get_number(object, key);
  if (!x || !std::isfinite(*x) || !(*x > 0))
    return fail(ErrorCode::kBadInput, fmt::format("config.json: \"{}\" is {}, expected a number above 0", key,
                                                  json::serialize(*find(object, key))));
  return *x;
}

Result<DType> parse_dtype(std::string_view name) {
  if (name == "auto") return DType::kAuto;
  if (name == "float32") return DType::kFloat32;
  if (name == "bfloat16") return DType::kBFloat16;
  return fail(ErrorCode::kUsage, fmt::format("dtype \"{}\"; known: auto, float32, bfloat16", name));
}

double ModelConfig::score_scale() const {
  return attention_scale > 0 ? attention_scale : 1 / std::sqrt(static_cast<double>(head_dim));
}

Result<ModelConfig> parse_config(const json::value& value) {
  SLM_TRY(const auto* object, want_object(value, "config.json"));
  SLM_TRY(const Family* family, want_family(*object));
  SLM_CHECK(refuse_the_rest(*object));
  ModelConfig out;
  out.model_type = family->model_type;
  out.architecture = family->architecture;
  out.names = family->names;
  out.norm = family->norm;
  out.gated = family->gated;
  out.parallel = family->parallel;
  out.qk_norm = family->qk_norm;
  SLM_CHECK(read_sizes(*object, *family, out));
  SLM_TRY(out.norm_eps, want_positive(*object, family->eps_key, family->eps));
  SLM_CHECK(read_activation(*object, *family, out));
  SLM_CHECK(read_biases(*object, *family, out));
  SLM_CHECK(read_ropes(*object, family->rope, out));
  SLM_CHECK(read_layers(*object, *family, out));
  SLM_CHECK(read_multipliers(*object, *family, out));
  SLM_CHECK(read_hybrid(*object, family->hybrid, out));
  out.tied_embeddings = get_bool(*object, "tie_word_embeddings").value_or(family->tied);
  if (family->hybrid == Hybrid::kLfm2)
    out.tied_embeddings = get_bool(*object, "tie_embedding").value_or(out.tied_embeddings);
  if (family->hybrid == Hybrid::kNemotronH && out.tied_embeddings)
    return unsupported("tie_word_embeddings", "true", "false for this family");
  if (out.tied_embeddings && out.head_bias) return unsupported("tie_word_embeddings", "true", "false for this family");
  out.bos_id = get_int(*object, "bos_token_id").value_or(-1);
  if (const auto* eos = get_array(*object, "eos_token_id")) {
    for (const auto& id : *eos)
      if (id.is_int64()) out.eos_ids.push_back(id.get_int64());
  } else if (const auto id = get_int(*object, "eos_token_id")) {
    out.eos_ids.push_back(*id);
  }
  return out;
}

bool ModelConfig::recurs() const {
  return std::any_of(layers.begin(), layers.end(), [](const LayerConfig& layer) { return layer.recurs(); });
}

Result<json::value> read_config_json(const std::filesystem::path& path) {
  SLM_TRY(const std::string text, read_file(path));
  std::string plain;
  bool in_string = false;
  constexpr std::string_view kInfinity = "Infinity";
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      plain += text[i++];
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && std::string_view(text).substr(i).starts_with(kInfinity)) {
      plain += R"({"__float__": "Infinity"})";
      i += kInfinity.size() - 1;
      continue;
    }
    plain += text[i];
  }
  auto value = parse_json(plain);
  if (!value) return fail(value.error().code, fmt::format("{}: {}", path.string(), value.error().message));
  return value;
}

Result<ModelConfig> read_config(const std::filesystem::path& dir) {
  SLM_TRY(const auto value, read_config_json(dir / "config.json"));
  auto config = parse_config(value);
  if (!config) {
    Error error = std::move(config).error();
    error.message = fmt::format("{}: {}", dir.string(), error.message);
    return fail(std::move(error));
  }
  return config;
}

}  // namespace slm::nn
