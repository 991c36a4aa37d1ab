// config.json's settings in llama.cpp's terms, and a refusal of those it has no terms for.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nn/gguf_model.h"

namespace slm::nn {

namespace {

using Rope = RopeConfig::Type;

// What llama.cpp computes for an architecture, beyond what all have.
struct Target {
  std::string_view model_type, architecture;
  Activation activation = Activation::kSilu;
  bool narrow_heads = true;   // heads × head_dim may differ from the width
  bool partial = false;       // rotates a part of each head
  bool rope_factors = false;  // a factor for each frequency: Llama 3's and LongRoPE's
  bool llama3 = false;        // of these, Llama 3's
  bool o_bias = false, ffn_bias = false;
  bool pairs = false;    // GgufSettings::pairs
  bool windows = false;  // sliding windows, layer by layer
  bool tied = false;     // the embedding makes the logits, always
  bool untied = false;   // never
  bool skips = false;    // every fourth layer without positions, always
};
constexpr Target kTargets[] = {
    {.model_type = "llama",
     .architecture = "llama",
     .rope_factors = true,
     .llama3 = true,
     .o_bias = true,
     .ffn_bias = true,
     .pairs = true},
    {.model_type = "mistral",
     .architecture = "llama",
     .rope_factors = true,
     .llama3 = true,
     .o_bias = true,
     .ffn_bias = true,
     .pairs = true},
    {.model_type = "qwen2", .architecture = "qwen2", .narrow_heads = false},
    {.model_type = "qwen3", .architecture = "qwen3"},
    {.model_type = "smollm3", .architecture = "smollm3", .pairs = true, .skips = true},
    {.model_type = "granite",
     .architecture = "granite",
     .rope_factors = true,
     .llama3 = true,
     .o_bias = true,
     .ffn_bias = true,
     .pairs = true},
    {.model_type = "phi",
     .architecture = "phi2",
     .activation = Activation::kGeluTanh,
     .narrow_heads = false,
     .partial = true,
     .o_bias = true,
     .ffn_bias = true,
     .untied = true},
    {.model_type = "phi3", .architecture = "phi3", .narrow_heads = false, .partial = true, .rope_factors = true},
    {.model_type = "gemma", .architecture = "gemma", .activation = Activation::kGeluTanh, .tied = true},
    {.model_type = "gemma2",
     .architecture = "gemma2",
     .activation = Activation::kGeluTanh,
     .windows = true,
     .tied = true},
    {.model_type = "gemma3_text", .architecture = "gemma3", .activation = Activation::kGeluTanh, .windows = true},
};

tl::unexpected<Error> refuse(const Target& target, std::string what) {
  return fail(ErrorCode::kUnsupportedModel,
              fmt::format("llama.cpp's {} has no {}, so there is no GGUF file of this model", target.architecture,
                          std::move(what)),
              "slmconv models export TASK --out DIR --merged");
}

Status check_shape(const ModelConfig& c, const Target& target) {
  if (c.activation != target.activation) return refuse(target, "activation like this one's");
  if (!target.narrow_heads && c.n_heads * c.head_dim != c.width)
    return refuse(target, fmt::format("{} heads of {} in a width of {}", c.n_heads, c.head_dim, c.width));
  if (!target.partial && c.rotated() != c.head_dim)
    return refuse(target, fmt::format("rotation of {} of a head's {} values", c.rotated(), c.head_dim));
  if (c.o_bias && !target.o_bias) return refuse(target, "bias of attention's output (attention_bias)");
  if (c.ffn_bias && !target.ffn_bias) return refuse(target, "biases of the feed-forward part (mlp_bias)");
  if (c.tied_embeddings ? target.untied : target.tied)
    return refuse(target, c.tied_embeddings ? "tied embeddings" : "head of its own");
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const bool without = c.layer(i).rope < 0;
    if (without != (target.skips && (i + 1) % 4 == 0))
      return refuse(target, fmt::format("layer {} {} positions", i, without ? "without" : "with"));
  }
  return {};
}

// Gemma 2 and 3: computed from other fields, not read.
Status check_fixed_scale(const ModelConfig& c, const Target& target) {
  const bool largest = c.n_layers == (c.model_type == "gemma2" ? 46 : 62);
  const auto scalar = static_cast<double>(largest ? c.width / c.n_heads : c.head_dim);
  if (std::fabs(c.score_scale() * std::sqrt(scalar) - 1) > 1e-6)
    return refuse(target, fmt::format("query_pre_attn_scalar of its own (here it takes {})", scalar));
  if (c.model_type == "gemma2" && (c.attention_softcap == 0 || c.logit_softcap == 0))
    return refuse(target, "way without attn_logit_softcapping and final_logit_softcapping");
  return {};
}

Status check_rope(const RopeConfig& rope, const Target& target) {
  switch (rope.type) {
    case Rope::kDefault:
    case Rope::kLinear:
      return {};
    case Rope::kDynamic:
      return refuse(target, "dynamic positions");
    case Rope::kYarn:
      if (target.windows) return refuse(target, "YaRN beside sliding windows");
      if (rope.beta_fast != 32 || rope.beta_slow != 1 || !rope.truncate)
        return refuse(target, "YaRN but with beta_fast 32, beta_slow 1 and truncate true");
      return {};
    case Rope::kLlama3:
      if (!target.llama3) return refuse(target, "Llama 3's positions");
      return {};
    case Rope::kLongRope:
      if (!target.rope_factors) return refuse(target, "LongRoPE");
      return {};
  }
  return {};
}

void put_rope(const RopeConfig& rope, const std::string& prefix, std::vector<GgufEntry>& out) {
  const auto scaling = [&](const char* key) { return prefix + "rope.scaling." + key; };
  out.push_back({prefix + "rope.freq_base", static_cast<float>(rope.theta)});
  if (rope.type == Rope::kLinear || rope.type == Rope::kYarn) {
    out.push_back({scaling("type"), std::string(rope.type == Rope::kYarn ? "yarn" : "linear")});
    out.push_back({scaling("factor"), static_cast<float>(rope.factor)});
  }
  if (rope.type == Rope::kLongRope) out.push_back({scaling("type"), std::string("longrope")});
  if (rope.type == Rope::kYarn || rope.type == Rope::kLongRope) {
    out.push_back({scaling("original_context_length"), static_cast<uint32_t>(rope.original_positions)});
    // llama.cpp multiplies by what YaRN's paper says, LongRoPE by this alone.
    const double own = rope.type == Rope::kYarn && rope.factor > 1 ? 0.1 * std::log(rope.factor) + 1 : 1;
    out.push_back({scaling("attn_factor"), static_cast<float>(rope.attention_factor / own)});
  }
}

}  // namespace

Result<GgufSettings> gguf_settings(const ModelConfig& c) {
  const auto* target = std::find_if(std::begin(kTargets), std::end(kTargets),
                                    [&](const Target& t) { return t.model_type == c.model_type; });
  if (target == std::end(kTargets))
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("no GGUF export of model_type \"{}\" ({})", c.model_type, c.architecture),
                "slmconv models export TASK --out DIR --merged");
  SLM_CHECK(check_shape(c, *target));
  if (target->windows) SLM_CHECK(check_fixed_scale(c, *target));
  for (const auto& rope : c.ropes) SLM_CHECK(check_rope(rope, *target));
  if (c.ropes.size() > 1 && c.ropes[1].type != Rope::kDefault)
    return refuse(*target, "scaled positions in layers with a window");

  GgufSettings out;
  out.architecture = target->architecture;
  out.pairs = target->pairs;
  const std::string prefix = out.architecture + ".";
  auto& m = out.metadata;
  const auto put = [&](const char* key, int64_t n) { m.push_back({prefix + key, static_cast<uint32_t>(n)}); };
  const auto put_real = [&](const char* key, double x) { m.push_back({prefix + key, static_cast<float>(x)}); };
  int64_t window = 0;
  std::vector<uint8_t> slides;
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const int64_t w = c.layer(i).window;
    slides.push_back(w > 0);
    if (w > 0) window = window > 0 ? std::min(window, w) : w;
  }
  out.context = c.max_positions;
  if (window > 0 && !target->windows) out.context = std::min(out.context, window);

  put("vocab_size", c.vocab_size);
  put("context_length", out.context);
  put("embedding_length", c.width);
  put("block_count", c.n_layers);
  put("feed_forward_length", c.ffn_width);
  put("attention.head_count", c.n_heads);
  put("attention.head_count_kv", c.n_kv_heads);
  put("attention.key_length", c.head_dim);
  put("attention.value_length", c.head_dim);
  put_real(c.norm == Norm::kLayer ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", c.norm_eps);
  put("rope.dimension_count", c.rotated());
  put_rope(c.ropes[0], prefix, m);
  if (c.ropes.size() > 1) put_real("rope.freq_base_swa", c.ropes[1].theta);
  if (target->windows && (window > 0 || c.model_type == "gemma2")) {
    put("attention.sliding_window", window > 0 ? window : c.max_positions);
    m.push_back({prefix + "attention.sliding_window_pattern", slides});
  }
  if (c.attention_softcap > 0) put_real("attn_logit_softcapping", c.attention_softcap);
  if (c.logit_softcap > 0) put_real("final_logit_softcapping", c.logit_softcap);
  if (c.model_type == "granite") {
    put_real("attention.scale", c.score_scale());
    put_real("embedding_scale", c.embedding_scale);
    put_real("residual_scale", c.residual_scale);
    put_real("logit_scale", c.logit_divisor);
  }
  return out;
}

}  // namespace slm::nn
