#include "nn/adapter.h"

#include <fmt/format.h>

#include "nn/safetensors.h"

namespace slm::nn {

namespace {

constexpr std::string_view kA = ".lora_A.weight", kB = ".lora_B.weight", kMagnitude = ".lora_magnitude_vector";

bool is_set(const json::value& value) {
  if (value.is_null()) return false;
  if (value.is_bool()) return value.get_bool();
  if (value.is_object()) return !value.get_object().empty();
  if (value.is_array()) return !value.get_array().empty();
  return true;
}

Result<LoraConfig> read_lora_config(const json::object& object) {
  const auto refuse = [](std::string_view field, const json::value& value, std::string_view known) {
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("adapter_config.json: {} is {}; known: {}", field, json::serialize(value), known));
  };
  const auto* type = find(object, "peft_type");
  if (type == nullptr || !type->is_string() || type->get_string() != "LORA")
    return refuse("peft_type", type == nullptr ? json::value() : *type, "\"LORA\"");
  for (const std::string_view field :
       {"modules_to_save", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_bias", "target_parameters",
        "trainable_token_indices", "alora_invocation_tokens", "use_qalora", "use_bdlora", "layer_replication"})
    if (const auto* value = find(object, field); value != nullptr && is_set(*value))
      return refuse(field, *value, "not set");
  if (const auto* bias = find(object, "bias"); bias != nullptr && is_set(*bias) && get_string(object, "bias") != "none")
    return refuse("bias", *bias, "\"none\"");
  LoraConfig out;
  SLM_TRY(out.rank, want_int(object, "r", "adapter_config.json"));
  SLM_TRY(out.alpha, want_number(object, "lora_alpha", "adapter_config.json"));
  if (out.rank < 1)
    return fail(ErrorCode::kBadInput, fmt::format("adapter_config.json: r is {}, at least 1", out.rank));
  out.dora = get_bool(object, "use_dora").value_or(false);
  out.rslora = get_bool(object, "use_rslora").value_or(false);
  out.dropout = get_number(object, "lora_dropout").value_or(0);
  // Which linears are adapted is what the tensors say; the list is kept for writing the adapter again.
  if (const auto* targets = get_array(object, "target_modules"))
    for (const auto& t : *targets)
      if (t.is_string()) out.targets.emplace_back(t.get_string());
  return out;
}

Result<at::Tensor> to_tensor(const SafeTensors& file, const std::string& name, const TensorView& view, size_t n_dims) {
  if (view.shape.size() != n_dims)
    return fail(ErrorCode::kBadInput, fmt::format("{}: tensor {} has {} dimensions, expected {}", file.name(), name,
                                                  view.shape.size(), n_dims));
  SLM_TRY(const at::Tensor out, tensor_of(view));
  return out.to(at::kFloat);
}

}  // namespace

Result<Adapter> parse_adapter(const AdapterFiles& files) {
  SLM_TRY(const auto value, parse_json(files.config_json));
  SLM_TRY(const auto* object, want_object(value, "adapter_config.json"));
  Adapter out;
  SLM_TRY(out.config, read_lora_config(*object));
  out.base_name = get_string(*object, "base_model_name_or_path");
  SLM_TRY(const auto weights, SafeTensors::from_bytes(files.weights, "adapter_model.safetensors"));
  return guarded([&]() -> Result<Adapter> {
    for (const auto& [name, view] : weights.tensors()) {
      const bool magnitude = out.config.dora && name.ends_with(kMagnitude);
      if (!name.starts_with(kAdapterPrefix) || !(name.ends_with(kA) || name.ends_with(kB) || magnitude))
        return fail(ErrorCode::kUnsupportedModel,
                    fmt::format("{}: tensor {}; known: {}<module>{}, {}{}", weights.name(), name, kAdapterPrefix, kA,
                                kB, out.config.dora ? fmt::format(" and {}", kMagnitude) : ""));
      if (!name.ends_with(kA)) continue;
      const std::string stem = name.substr(0, name.size() - kA.size());
      const auto part = [&](std::string_view ending, size_t n_dims) -> Result<at::Tensor> {
        const auto found = weights.tensors().find(stem + std::string(ending));
        if (found == weights.tensors().end())
          return fail(ErrorCode::kBadInput, fmt::format("{}: tensor {}{} is missing", weights.name(), stem, ending));
        return to_tensor(weights, found->first, found->second, n_dims);
      };
      LoraPair pair;
      pair.module = stem.substr(kAdapterPrefix.size());
      SLM_TRY(pair.a, part(kA, 2));
      SLM_TRY(pair.b, part(kB, 2));
      if (out.config.dora) {
        SLM_TRY(pair.magnitude, part(kMagnitude, 1));
      }
      out.pairs.push_back(std::move(pair));
    }
    const size_t per_module = out.config.dora ? 3 : 2;
    if (out.pairs.size() * per_module != weights.tensors().size())
      return fail(ErrorCode::kBadInput, fmt::format("{}: {} tensors, but {} modules with {} each", weights.name(),
                                                    weights.tensors().size(), out.pairs.size(), per_module));
    if (out.pairs.empty()) return fail(ErrorCode::kBadInput, fmt::format("{}: no tensor in it", weights.name()));
    return out;
  });
}

}  // namespace slm::nn
