// config.json → ModelConfig: what this program computes, and a refusal of everything else by name.
#include <fmt/format.h>

#include <initializer_list>
#include <optional>

#include "nn/engine.h"

namespace slm::nn {

namespace {

tl::unexpected<Error> unsupported(std::string_view field, std::string_view found, std::string_view known) {
  return fail(ErrorCode::kUnsupportedModel, fmt::format("config.json: {} is {}; known: {}", field, found, known));
}

// Width, layers and heads beyond these are a damaged file, not a small language model.
constexpr int64_t kMaxSize = 1 << 20;

Result<int64_t> want_size(const json::object& object, std::string_view key, std::optional<int64_t> otherwise = {}) {
  const auto* value = find(object, key);
  if (value == nullptr || value->is_null()) {
    if (otherwise) return *otherwise;
    return fail(ErrorCode::kBadInput, fmt::format("config.json: \"{}\" is missing", key));
  }
  const auto n = get_int(object, key);
  if (!n || *n < 1 || *n > kMaxSize)
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: \"{}\" is {}, expected 1 to {}", key, json::serialize(*value), kMaxSize));
  return *n;
}

// transformers 4 keeps rope_theta and rope_scaling at the top; transformers 5 keeps both in rope_parameters.
Result<double> read_rope_theta(const json::object& object) {
  double theta = get_number(object, "rope_theta").value_or(10000.0);
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const auto* value = find(object, key);
    if (value == nullptr || value->is_null()) continue;
    const auto* fields = value->if_object();
    if (fields == nullptr) return unsupported(key, json::serialize(*value), "null, or an object of rope_type default");
    std::string_view type = get_string(*fields, "rope_type");
    if (type.empty()) type = get_string(*fields, "type", "default");
    if (type != "default") return unsupported(key, fmt::format("of type \"{}\"", type), "default");
    theta = get_number(*fields, "rope_theta").value_or(theta);
  }
  if (!(theta > 0)) return fail(ErrorCode::kBadInput, fmt::format("config.json: rope_theta is {}, must be > 0", theta));
  return theta;
}

}  // namespace

Result<DType> parse_dtype(std::string_view name) {
  if (name == "auto") return DType::kAuto;
  if (name == "float32") return DType::kFloat32;
  if (name == "bfloat16") return DType::kBFloat16;
  return fail(ErrorCode::kUsage, fmt::format("dtype \"{}\"; known: auto, float32, bfloat16", name));
}

Result<ModelConfig> parse_config(const json::value& value) {
  SLM_TRY(const auto* object, want_object(value, "config.json"));
  ModelConfig out;
  const auto type = get_string(*object, "model_type");
  if (type != "llama")
    return unsupported("model_type", type.empty() ? "missing" : fmt::format("\"{}\"", type), "\"llama\"");
  out.architecture = "LlamaForCausalLM";
  if (const auto* names = get_array(*object, "architectures"); names != nullptr && !names->empty()) {
    const auto& name = (*names)[0];
    if (!name.is_string() || name.as_string() != "LlamaForCausalLM")
      return unsupported("architectures", json::serialize(*names), "[\"LlamaForCausalLM\"]");
  }
  if (const auto act = get_string(*object, "hidden_act", "silu"); act != "silu" && act != "swish")
    return unsupported("hidden_act", fmt::format("\"{}\"", act), "\"silu\"");
  for (const std::string_view key : {"attention_bias", "mlp_bias"})
    if (get_bool(*object, key).value_or(false)) return unsupported(key, "true", "false");
  if (const auto tp = get_int(*object, "pretraining_tp"); tp && *tp != 1)
    return unsupported("pretraining_tp", fmt::format("{}", *tp), "1");
  if (const auto* quantised = find(*object, "quantization_config"); quantised != nullptr && !quantised->is_null())
    return unsupported("quantization_config", "set", "none (plain float weights)");

  SLM_TRY(out.vocab_size, want_size(*object, "vocab_size"));
  SLM_TRY(out.width, want_size(*object, "hidden_size"));
  SLM_TRY(out.n_layers, want_size(*object, "num_hidden_layers"));
  SLM_TRY(out.n_heads, want_size(*object, "num_attention_heads"));
  SLM_TRY(out.n_kv_heads, want_size(*object, "num_key_value_heads", out.n_heads));
  SLM_TRY(out.ffn_width, want_size(*object, "intermediate_size"));
  if (out.n_heads % out.n_kv_heads != 0)
    return fail(ErrorCode::kBadInput,
                fmt::format("config.json: num_attention_heads {} isn't a multiple of num_key_value_heads {}",
                            out.n_heads, out.n_kv_heads));
  if (find(*object, "head_dim") == nullptr && out.width % out.n_heads != 0)
    return fail(
        ErrorCode::kBadInput,
        fmt::format("config.json: hidden_size {} isn't a multiple of num_attention_heads {}", out.width, out.n_heads));
  SLM_TRY(out.head_dim, want_size(*object, "head_dim", out.width / out.n_heads));
  if (out.head_dim % 2 != 0)
    return fail(ErrorCode::kBadInput, fmt::format("config.json: head_dim {} is odd; rotary needs pairs", out.head_dim));
  SLM_TRY(out.max_positions, want_size(*object, "max_position_embeddings", 2048));
  SLM_TRY(out.rope_theta, read_rope_theta(*object));
  out.norm_eps = get_number(*object, "rms_norm_eps").value_or(1e-6);  // the default of transformers' LlamaConfig
  if (!(out.norm_eps > 0))
    return fail(ErrorCode::kBadInput, fmt::format("config.json: rms_norm_eps is {}, must be > 0", out.norm_eps));
  out.tied_embeddings = get_bool(*object, "tie_word_embeddings").value_or(false);
  out.bos_id = get_int(*object, "bos_token_id").value_or(-1);
  if (const auto* eos = get_array(*object, "eos_token_id")) {
    for (const auto& id : *eos)
      if (id.is_int64()) out.eos_ids.push_back(id.get_int64());
  } else if (const auto id = get_int(*object, "eos_token_id")) {
    out.eos_ids.push_back(*id);
  }
  return out;
}

Result<ModelConfig> read_config(const std::filesystem::path& dir) {
  SLM_TRY(const auto value, read_json_file(dir / "config.json"));
  auto config = parse_config(value);
  if (!config) {
    Error error = std::move(config).error();
    error.message = fmt::format("{}: {}", dir.string(), error.message);
    return fail(std::move(error));
  }
  return config;
}

}  // namespace slm::nn
