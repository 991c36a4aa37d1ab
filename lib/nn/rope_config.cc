// The rotary fields of a config.json, of both generations.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nn/config_fields.h"

namespace slm::nn {

namespace {

using Type = RopeConfig::Type;

constexpr struct {
  std::string_view name;
  Type type;
} kTypes[] = {{"default", Type::kDefault}, {"linear", Type::kLinear}, {"dynamic", Type::kDynamic},
              {"yarn", Type::kYarn},       {"llama3", Type::kLlama3}, {"longrope", Type::kLongRope}};

Result<Type> want_type(const json::object& fields, const RopeDefaults& defaults) {
  std::string_view name = get_string(fields, "rope_type");
  if (name.empty()) name = get_string(fields, "type", "default");
  if (defaults.only_longrope && (name == "su" || name == "yarn")) name = "longrope";
  for (const auto& known : kTypes) {
    if (known.name != name) continue;
    if (defaults.only_longrope && known.type != Type::kDefault && known.type != Type::kLongRope) break;
    return known.type;
  }
  return unsupported("rope_type (in rope_scaling or rope_parameters)", fmt::format("\"{}\"", name),
                     defaults.only_longrope ? "default, longrope" : "default, linear, dynamic, yarn, llama3, longrope");
}

Result<std::vector<double>> want_factors(const json::object& fields, std::string_view key, int64_t n) {
  const auto* list = get_array(fields, key);
  std::vector<double> out;
  if (list != nullptr)
    for (const auto& x : *list)
      if (x.is_number()) out.push_back(x.to_number<double>());
  const bool good = list != nullptr && out.size() == list->size() && static_cast<int64_t>(out.size()) == n &&
                    std::all_of(out.begin(), out.end(), [](double x) { return std::isfinite(x) && x > 0; });
  if (!good)
    return fail(ErrorCode::kBadInput, fmt::format("config.json: {} isn't a list of {} numbers above 0", key, n));
  return out;
}

double yarn_scale(double factor, double m) { return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0; }

// One rope of a file: `fields` is its object (may be empty), `top` the whole file.
Result<RopeConfig> read_rope(const json::object& fields, const json::object& top, double theta,
                             const RopeDefaults& defaults, const ModelConfig& config) {
  RopeConfig out;
  SLM_TRY(out.theta, want_positive(fields, "rope_theta", theta));
  SLM_TRY(out.type, want_type(fields, defaults));
  // Phi-3 keeps it at the top, where it wins.
  const auto& holder = is_given(top, "original_max_position_embeddings") ? top : fields;
  SLM_TRY(out.original_positions,
          want_size(holder, "original_max_position_embeddings", config.max_positions, kMaxPositions));
  if (out.type == Type::kDefault) return out;
  if (out.type == Type::kDynamic) out.original_positions = config.max_positions;
  const double stretched = static_cast<double>(config.max_positions) / static_cast<double>(out.original_positions);
  const bool may_lack = out.type == Type::kYarn || out.type == Type::kLongRope;
  SLM_TRY(out.factor, want_positive(fields, "factor", may_lack ? std::optional(stretched) : std::nullopt));
  if (out.type == Type::kYarn) {
    SLM_TRY(out.beta_fast, want_positive(fields, "beta_fast", 32.0));
    SLM_TRY(out.beta_slow, want_positive(fields, "beta_slow", 1.0));
    out.truncate = get_bool(fields, "truncate").value_or(true);
    const double m = get_number(fields, "mscale").value_or(0), all = get_number(fields, "mscale_all_dim").value_or(0);
    out.attention_factor =
        m != 0 && all != 0 ? yarn_scale(out.factor, m) / yarn_scale(out.factor, all) : yarn_scale(out.factor, 1);
  }
  if (out.type == Type::kLlama3) {
    SLM_TRY(out.low_freq_factor, want_positive(fields, "low_freq_factor"));
    SLM_TRY(out.high_freq_factor, want_positive(fields, "high_freq_factor"));
    if (!(out.high_freq_factor > out.low_freq_factor))
      return fail(ErrorCode::kBadInput, fmt::format("config.json: high_freq_factor {} isn't above low_freq_factor {}",
                                                    out.high_freq_factor, out.low_freq_factor));
  }
  if (out.type == Type::kLongRope) {
    SLM_TRY(out.short_factors, want_factors(fields, "short_factor", config.rotated() / 2));
    SLM_TRY(out.long_factors, want_factors(fields, "long_factor", config.rotated() / 2));
    if (out.factor > 1)
      out.attention_factor =
          std::sqrt(1 + std::log(out.factor) / std::log(static_cast<double>(out.original_positions)));
  }
  if (may_lack) {
    SLM_TRY(out.attention_factor, want_positive(fields, "attention_factor", out.attention_factor));
  }
  return out;
}

}  // namespace

Status read_ropes(const json::object& object, const RopeDefaults& defaults, ModelConfig& config) {
  json::object fields;
  for (const std::string_view key : {"rope_parameters", "rope_scaling"}) {  // where both are given, the older one wins
    if (!is_given(object, key)) continue;
    const auto* found = get_object(object, key);
    if (found == nullptr) return unsupported(key, json::serialize(*find(object, key)), "null, or an object");
    fields = *found;
  }
  SLM_TRY(const double theta, want_positive(object, "rope_theta", defaults.theta));
  SLM_TRY(const double whole, want_positive(object, "partial_rotary_factor", defaults.partial));
  SLM_TRY(const double part, want_positive(fields, "partial_rotary_factor", whole));
  config.rotary_dim = static_cast<int64_t>(static_cast<double>(config.head_dim) * part);
  if (!(part > 0 && part <= 1) || config.rotary_dim < 2 || config.rotary_dim % 2 != 0)
    return fail(
        ErrorCode::kBadInput,
        fmt::format("config.json: head_dim {} with partial_rotary_factor {} rotates {} values of a head: must be "
                    "even, and at least 2",
                    config.head_dim, part, config.rotary_dim));

  config.ropes.clear();
  if (!defaults.by_layer_type) {
    SLM_TRY(auto rope, read_rope(fields, object, theta, defaults, config));
    config.ropes.push_back(std::move(rope));
  } else {
    // Newer files have an object for each layer type; the older one's rope_scaling is of the full layers.
    const bool nested = fields.contains("full_attention") || fields.contains("sliding_attention");
    const auto* full = nested ? get_object(fields, "full_attention") : &fields;
    const auto* sliding = nested ? get_object(fields, "sliding_attention") : nullptr;
    SLM_TRY(const double local, want_positive(object, "rope_local_base_freq", defaults.local_theta));
    SLM_TRY(auto a, read_rope(full == nullptr ? json::object() : *full, object, theta, defaults, config));
    SLM_TRY(auto b, read_rope(sliding == nullptr ? json::object() : *sliding, object, local, defaults, config));
    config.ropes = {std::move(a), std::move(b)};
  }
  for (const auto& rope : config.ropes) {
    if (rope.type == Type::kDynamic && config.rotary_dim < 4)
      return fail(
          ErrorCode::kBadInput,
          fmt::format("config.json: dynamic positions need 4 rotated values of a head, here {}", config.rotary_dim));
    // Both stretch a model beyond what its max_position_embeddings may say.
    const double reach = rope.type == Type::kDynamic || rope.type == Type::kYarn
                             ? static_cast<double>(rope.original_positions) * rope.factor
                             : 0;
    if (reach > static_cast<double>(kMaxPositions))
      return fail(ErrorCode::kBadInput,
                  fmt::format("config.json: rotary positions stretched by {} reach {} tokens", rope.factor, reach));
    config.max_positions = std::max(config.max_positions, static_cast<int64_t>(reach));
  }
  return {};
}

int32_t rope_key(const ModelConfig& config, int64_t n_tokens) {
  for (const auto& rope : config.ropes) {
    if (n_tokens <= rope.original_positions) continue;
    if (rope.type == Type::kLongRope) return 1;
    if (rope.type == Type::kDynamic) return static_cast<int32_t>(n_tokens);
  }
  return 0;
}

}  // namespace slm::nn
