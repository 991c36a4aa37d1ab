// Fields of a config.json with their refusals, for config.cc and rope_config.cc.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "nn/config.h"

namespace slm::nn {

inline tl::unexpected<Error> unsupported(std::string_view field, std::string_view found, std::string_view known) {
  return fail(ErrorCode::kUnsupportedModel, fmt::format("config.json: {} is {}; known: {}", field, found, known));
}

inline bool is_given(const json::object& object, std::string_view key) {
  const auto* value = find(object, key);
  return value != nullptr && !value->is_null();
}

// An integer from 1 to `most`. Sizes beyond kMaxSize are a damaged file, not a small language model.
inline constexpr int64_t kMaxSize = 1 << 20;
Result<int64_t> want_size(const json::object& object, std::string_view key, std::optional<int64_t> otherwise = {},
                          int64_t most = kMaxSize);
// A finite number above zero.
Result<double> want_positive(const json::object& object, std::string_view key, std::optional<double> otherwise = {});
inline constexpr int64_t kMaxPositions = int64_t{1} << 28;

// What a family's rotary fields default to.
struct RopeDefaults {
  double theta = 10000, local_theta = 10000, partial = 1;
  bool by_layer_type = false;  // ropes: {full_attention, sliding_attention}
  bool only_longrope = false;  // Phi-3: the older names of LongRoPE
};
// Fills ropes, rotary_dim and max_positions. Requires: head_dim and max_positions are set.
Status read_ropes(const json::object& object, const RopeDefaults& defaults, ModelConfig& config);

// Families with layers that aren't attention and a feed-forward part (config_hybrid.cc).
enum class Hybrid { kNone, kNemotronH, kGranite, kLfm2, kFalconH1 };
// How many layers a file describes, where it needn't say num_hidden_layers.
Result<int64_t> want_layers(const json::object& object, Hybrid hybrid);
// Fills what is theirs: the layers' kinds, Mamba, short convolutions, factors. Requires: the rest is set.
Status read_hybrid(const json::object& object, Hybrid hybrid, ModelConfig& config);

}  // namespace slm::nn
