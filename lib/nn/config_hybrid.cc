// What hybrids' config.json files say beyond the others': the kinds of their layers, Mamba 2, short convolutions, and
// factors.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "nn/config_fields.h"

namespace slm::nn {

namespace {

constexpr std::string_view kNoExperts = "layers without experts (mixtures of experts aren't computed)";

// A number, or the infinity that JSON has none for: {"__float__": "Infinity"}.
std::optional<double> number_or_infinity(const json::value& value) {
  if (value.is_number()) return value.to_number<double>();
  if (const auto* object = value.if_object(); object != nullptr && get_string(*object, "__float__") == "Infinity")
    return std::numeric_limits<double>::infinity();
  return {};
}

struct KindName {
  std::string_view name;
  Mixer mixer;
  bool ffn;
};
// The names of both generations. In a Nemotron-H a layer is one thing; in the others a feed-forward part follows.
constexpr KindName kNemotronKinds[] = {{"linear_attention", Mixer::kMamba, false},
                                       {"mamba", Mixer::kMamba, false},
                                       {"full_attention", Mixer::kAttention, false},
                                       {"attention", Mixer::kAttention, false},
                                       {"mlp", Mixer::kNone, true},
                                       {"M", Mixer::kMamba, false},
                                       {"*", Mixer::kAttention, false},
                                       {"-", Mixer::kNone, true}};
constexpr KindName kGraniteKinds[] = {{"linear_attention", Mixer::kMamba, true},
                                      {"mamba", Mixer::kMamba, true},
                                      {"full_attention", Mixer::kAttention, true},
                                      {"attention", Mixer::kAttention, true}};
constexpr KindName kLfm2Kinds[] = {{"conv", Mixer::kShortConv, true}, {"full_attention", Mixer::kAttention, true}};

template <size_t N>
Result<LayerConfig> kind_of(std::string_view field, std::string_view name, const KindName (&kinds)[N]) {
  if (name == "moe" || name == "E") return unsupported(field, fmt::format("\"{}\" for a layer", name), kNoExperts);
  std::string known;
  for (const auto& kind : kinds) {
    if (kind.name == name) return LayerConfig{.mixer = kind.mixer, .ffn = kind.ffn};
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", kind.name);
  }
  return unsupported(field, fmt::format("\"{}\" for a layer", name), known);
}

// The list of layer kinds under either of its names; null where the file has none.
const json::array* kind_list(const json::object& object, std::string_view& field) {
  for (const std::string_view key : {"layers_block_type", "layer_types"})
    if (const auto* list = get_array(object, key)) {
      field = key;
      return list;
    }
  return nullptr;
}

template <size_t N>
Status read_kinds(const json::object& object, const KindName (&kinds)[N], ModelConfig& out) {
  std::string_view field;
  const auto* list = kind_list(object, field);
  if (list == nullptr) return fail(ErrorCode::kBadInput, "config.json: \"layer_types\" is missing");
  if (static_cast<int64_t>(list->size()) != out.n_layers)
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: {} isn't a list of {}, one for each layer", field, out.n_layers));
  out.layers.clear();
  for (const auto& item : *list) {
    const std::string_view name = item.is_string() ? std::string_view(item.get_string()) : std::string_view();
    SLM_TRY(auto kind, kind_of(field, name, kinds));
    out.layers.push_back(kind);
  }
  return {};
}

// Where a family's file has Mamba's numbers, and what they default to.
struct MambaKeys {
  std::string_view heads, head_dim, groups, state, kernel, chunk, conv_bias, in_bias, out_bias;
  int64_t default_heads, default_groups, default_state, default_chunk;
};
constexpr MambaKeys kNemotronKeys{"mamba_num_heads",
                                  "mamba_head_dim",
                                  "n_groups",
                                  "ssm_state_size",
                                  "conv_kernel",
                                  "chunk_size",
                                  "use_conv_bias",
                                  "use_bias",
                                  "use_bias",
                                  128,
                                  8,
                                  128,
                                  128};
constexpr MambaKeys kMambaKeys{"mamba_n_heads",
                               "mamba_d_head",
                               "mamba_n_groups",
                               "mamba_d_state",
                               "mamba_d_conv",
                               "mamba_chunk_size",
                               "mamba_conv_bias",
                               "mamba_proj_bias",
                               "mamba_proj_bias",
                               128,
                               1,
                               256,
                               256};

Status read_time_steps(const json::object& object, MambaConfig& out) {
  const auto* list = get_array(object, "time_step_limit");
  if (list == nullptr) list = get_array(object, "mamba_dt_limit");
  if (list == nullptr) return {};
  const auto low = list->size() == 2 ? number_or_infinity((*list)[0]) : std::nullopt;
  const auto high = list->size() == 2 ? number_or_infinity((*list)[1]) : std::nullopt;
  if (!low || !high || !(*low >= 0) || !std::isfinite(*low) || !(*high > *low))
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: time_step_limit is {}, expected two numbers, the second "
                            "one larger",
                            json::serialize(*list)));
  out.dt_min = *low;
  out.dt_max = std::isfinite(*high) ? *high : 0;
  return {};
}

// `inner`: what the projections give to the heads; 0: head_dim says.
Status read_mamba(const json::object& object, const MambaKeys& keys, int64_t inner, MambaConfig& out) {
  SLM_TRY(out.n_heads, want_size(object, keys.heads, keys.default_heads));
  SLM_TRY(out.n_groups, want_size(object, keys.groups, keys.default_groups));
  SLM_TRY(out.state, want_size(object, keys.state, keys.default_state));
  SLM_TRY(out.kernel, want_size(object, keys.kernel, 4, 64));
  SLM_TRY(out.chunk, want_size(object, keys.chunk, keys.default_chunk));
  const bool by_width = inner > 0 && (!is_given(object, keys.head_dim) || get_string(object, keys.head_dim) == "auto");
  if (by_width) {
    out.head_dim = inner / out.n_heads;
  } else {
    SLM_TRY(out.head_dim, want_size(object, keys.head_dim, 64));
  }
  if (inner > 0 && out.inner() != inner)
    return fail(ErrorCode::kBadInput, fmt::format("config.json: {} is {}, which doesn't make {} with {}", keys.heads,
                                                  out.n_heads, inner, keys.head_dim));
  if (out.n_heads % out.n_groups != 0)
    return fail(ErrorCode::kBadInput, fmt::format("config.json: {} {} isn't a multiple of {} {}", keys.heads,
                                                  out.n_heads, keys.groups, out.n_groups));
  if (out.projected() > kMaxSize)
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: Mamba's projection has {} rows, at most {}", out.projected(), kMaxSize));
  out.conv_bias = get_bool(object, keys.conv_bias).value_or(true);
  out.in_bias = get_bool(object, keys.in_bias).value_or(false);
  out.out_bias = get_bool(object, keys.out_bias).value_or(false);
  return read_time_steps(object, out);
}

Result<int64_t> inner_width(const json::object& object, const ModelConfig& config) {
  SLM_TRY(const int64_t expand, want_size(object, "mamba_expand", 2, 64));
  return expand * config.width;
}

Status read_nemotron(const json::object& object, ModelConfig& out) {
  constexpr std::string_view kPattern = "hybrid_override_pattern";
  std::string_view field;
  if (kind_list(object, field) != nullptr) {
    SLM_CHECK(read_kinds(object, kNemotronKinds, out));
  } else {
    out.layers.clear();
    const std::string_view pattern = get_string(object, kPattern);
    for (size_t i = 0; i < pattern.size(); ++i) {
      SLM_TRY(auto kind, kind_of(kPattern, pattern.substr(i, 1), kNemotronKinds));
      out.layers.push_back(kind);
    }
  }
  for (auto& layer : out.layers) layer.rope = -1;  // the code has no positions
  if (const auto act = get_string(object, "mamba_hidden_act", "silu"); act != "silu")
    return unsupported("mamba_hidden_act", fmt::format("\"{}\"", act), "\"silu\"");
  out.mamba.adapts_out = false;  // peft refuses out_proj here
  return read_mamba(object, kNemotronKeys, 0, out.mamba);
}

Status read_granite(const json::object& object, ModelConfig& out) {
  if (const auto n = get_int(object, "num_local_experts").value_or(8); n != 0)
    return unsupported("num_local_experts", fmt::format("{}", n), fmt::format("0: {}", kNoExperts));
  std::string_view field;
  if (kind_list(object, field) != nullptr) {
    SLM_CHECK(read_kinds(object, kGraniteKinds, out));
  } else {
    for (auto& layer : out.layers) layer.mixer = Mixer::kMamba;
  }
  const std::string_view positions = get_string(object, "position_embedding_type", "nope");
  if (positions != "nope" && positions != "rope")
    return unsupported("position_embedding_type", fmt::format("\"{}\"", positions), "null, \"nope\", \"rope\"");
  for (auto& layer : out.layers) layer.rope = positions == "rope" ? 0 : -1;
  if (!out.recurs()) return {};
  SLM_TRY(const int64_t inner, inner_width(object, out));
  return read_mamba(object, kMambaKeys, inner, out.mamba);
}

Status read_lfm2(const json::object& object, ModelConfig& out) {
  std::string_view field;
  if (kind_list(object, field) != nullptr) {
    SLM_CHECK(read_kinds(object, kLfm2Kinds, out));
  } else if (const auto* attends = get_array(object, "full_attn_idxs")) {
    for (auto& layer : out.layers) layer.mixer = Mixer::kShortConv;
    for (const auto& index : *attends) {
      const int64_t i = index.is_int64() ? index.get_int64() : -1;
      if (i < 0 || i >= out.n_layers)
        return fail(ErrorCode::kBadInput, fmt::format("config.json: full_attn_idxs has {}, the model has {} layers",
                                                      json::serialize(index), out.n_layers));
      out.layers[static_cast<size_t>(i)].mixer = Mixer::kAttention;
    }
  }
  SLM_TRY(out.short_conv.kernel, want_size(object, "conv_L_cache", 3, 64));
  out.short_conv.bias = get_bool(object, "conv_bias").value_or(false);
  SLM_TRY(out.ffn_width, want_size(object, "block_ff_dim", out.ffn_width));
  if (!get_bool(object, "block_auto_adjust_ff_dim").value_or(true)) return {};
  SLM_TRY(const int64_t multiple, want_size(object, "block_multiple_of", 256));
  SLM_TRY(const double factor, want_positive(object, "block_ffn_dim_multiplier", 1.0));
  const auto scaled = static_cast<int64_t>(factor * static_cast<double>(2 * out.ffn_width / 3));
  out.ffn_width = multiple * ((scaled + multiple - 1) / multiple);
  return {};
}

Status read_factors(const json::object& object, std::string_view key, std::span<double* const> out) {
  if (!is_given(object, key)) return {};
  const auto* list = get_array(object, key);
  bool good = list != nullptr && list->size() == out.size();
  for (size_t i = 0; good && i < out.size(); ++i) {
    good = (*list)[i].is_number();
    if (good) *out[i] = (*list)[i].to_number<double>();
    good = good && std::isfinite(*out[i]) && *out[i] != 0;
  }
  if (!good)
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: {} isn't a list of {} numbers other than 0", key, out.size()));
  return {};
}

Status read_falcon(const json::object& object, ModelConfig& out) {
  for (auto& layer : out.layers) layer.mixer = Mixer::kBoth;
  int64_t inner = 1024;
  if (is_given(object, "mamba_d_ssm")) {
    SLM_TRY(inner, want_size(object, "mamba_d_ssm"));
  } else if (find(object, "mamba_d_ssm") != nullptr) {
    SLM_TRY(inner, inner_width(object, out));
  }
  SLM_CHECK(read_mamba(object, kMambaKeys, inner, out.mamba));
  out.mamba.out_bias = get_bool(object, "projectors_bias").value_or(false);
  out.mamba.adapts_out = false;  // peft refuses out_proj here
  using Gate = MambaConfig::Gate;
  const bool norm = get_bool(object, "mamba_rms_norm").value_or(false),
             first = get_bool(object, "mamba_norm_before_gate").value_or(true);
  out.mamba.gate = !norm ? Gate::kPlain : first ? Gate::kAfterNorm : Gate::kBeforeNorm;

  SLM_TRY(out.embedding_scale, want_positive(object, "embedding_multiplier", 1.0));
  SLM_TRY(const double head, want_positive(object, "lm_head_multiplier", 1.0));
  out.logit_divisor = 1 / head;
  // Keys times a factor are scores times it.
  SLM_TRY(const double key, want_positive(object, "key_multiplier", 1.0));
  out.attention_scale = key / std::sqrt(static_cast<double>(out.head_dim));
  auto& s = out.scales;
  SLM_TRY(s.attention_in, want_positive(object, "attention_in_multiplier", 1.0));
  SLM_TRY(s.attention_out, want_positive(object, "attention_out_multiplier", 1.0));
  SLM_TRY(s.mamba_in, want_positive(object, "ssm_in_multiplier", 1.0));
  SLM_TRY(s.mamba_out, want_positive(object, "ssm_out_multiplier", 1.0));
  double* const mlp[] = {&s.gate, &s.down};
  SLM_CHECK(read_factors(object, "mlp_multipliers", mlp));
  auto& m = out.mamba.multipliers;
  double* const parts[] = {&m[0], &m[1], &m[2], &m[3], &m[4]};
  return read_factors(object, "ssm_multipliers", parts);
}

}  // namespace

Result<int64_t> want_layers(const json::object& object, Hybrid hybrid) {
  if (hybrid != Hybrid::kNemotronH) return want_size(object, "num_hidden_layers");
  std::string_view field = "hybrid_override_pattern";
  const auto* list = kind_list(object, field);
  const auto n = static_cast<int64_t>(list != nullptr ? list->size() : get_string(object, field).size());
  if (n == 0)
    return fail(ErrorCode::kBadInput,
                "config.json: neither \"layers_block_type\" nor \"hybrid_override_pattern\" is given");
  SLM_TRY(const int64_t said, want_size(object, "num_hidden_layers", n));
  if (said != n || n > kMaxSize)
    return fail(ErrorCode::kBadInput, fmt::format("config.json: num_hidden_layers is {}, {} has {}", said, field, n));
  return n;
}

Status read_hybrid(const json::object& object, Hybrid hybrid, ModelConfig& config) {
  switch (hybrid) {
    case Hybrid::kNone:
      return {};
    case Hybrid::kNemotronH:
      return read_nemotron(object, config);
    case Hybrid::kGranite:
      return read_granite(object, config);
    case Hybrid::kLfm2:
      return read_lfm2(object, config);
    case Hybrid::kFalconH1:
      return read_falcon(object, config);
  }
  return {};
}

}  // namespace slm::nn
