// Which tensors a model's checkpoint has, by a config: names and shapes, linears and what they are parts of.
#include <fmt/format.h>

#include <algorithm>

#include "nn/config.h"

namespace slm::nn {

std::string layer_prefix(const ModelConfig& c, int64_t layer) {
  return fmt::format("{}layers.{}.", c.names->root, layer);
}

namespace {
std::string with_root(const std::string& name, std::string_view from, std::string_view to) {
  return from.empty() || to.empty() || !name.starts_with(from) ? name : std::string(to) + name.substr(from.size());
}
}  // namespace

std::string other_name(const ModelConfig& c, const std::string& name) {
  return with_root(name, c.names->root, c.names->other_root);
}
std::string own_name(const ModelConfig& c, const std::string& name) {
  return with_root(name, c.names->other_root, c.names->root);
}

std::array<LinearSite, kSites> linear_sites(const ModelConfig& c, int64_t layer) {
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim, f = c.ffn_width;
  const auto& n = *c.names;
  const LayerConfig kind = c.layer(layer);
  std::array<LinearSite, kSites> out;
  if (kind.attends()) {
    if (n.qkv[1].empty())
      out[kAttentionIn].parts = {{n.qkv[0], q + 2 * kv}};
    else
      out[kAttentionIn].parts = {{n.qkv[0], q}, {n.qkv[1], kv}, {n.qkv[2], kv}};
    out[kAttentionOut].parts = {{n.o, c.width}};
  }
  if (kind.ffn) {
    if (n.up[1].empty())
      out[kFfnIn].parts = {{n.up[0], c.gated ? 2 * f : f}};
    else
      out[kFfnIn].parts = {{n.up[0], f}, {n.up[1], f}};
    out[kFfnOut].parts = {{n.down, c.width}};
  }
  // Every family has them below the module's name by these.
  static constexpr std::pair<std::string_view, std::array<std::string_view, 2>> kRecurrent[] = {
      {"mixer", {"mixer.in_proj", "mixer.out_proj"}},
      {"mamba", {"mamba.in_proj", "mamba.out_proj"}},
      {"conv", {"conv.in_proj", "conv.out_proj"}}};
  const bool mamba = kind.has_mamba();
  if (kind.recurs())
    for (const auto& [module, parts] : kRecurrent) {
      if (module != n.recurrent) continue;
      out[kRecurrentIn].parts = {{parts[0], mamba ? c.mamba.projected() : 3 * c.width}};
      out[kRecurrentOut].parts = {{parts[1], c.width, !mamba || c.mamba.adapts_out}};
    }
  const int64_t in[] = {c.width, q, c.width, f, c.width, mamba ? c.mamba.inner() : c.width};
  const bool bias[] = {c.qkv_bias,
                       c.o_bias,
                       c.ffn_bias,
                       c.ffn_bias,
                       mamba ? c.mamba.in_bias : c.short_conv.bias,
                       mamba ? c.mamba.out_bias : c.short_conv.bias};
  for (size_t i = 0; i < kSites; ++i) {
    if (out[i].parts.empty()) continue;
    out[i].in = in[i];
    out[i].bias = bias[i];
    for (const auto& part : out[i].parts) out[i].out += part.out;
  }
  return out;
}

std::vector<CheckpointTensor> checkpoint_tensors(const ModelConfig& c) {
  const auto& names = *c.names;
  std::vector<CheckpointTensor> out{{fmt::format("{}{}.weight", names.root, names.embedding), {c.vocab_size, c.width}}};
  const auto add_norm = [&](std::string_view prefix, std::string_view name) {
    if (name.empty()) return;
    out.push_back({fmt::format("{}{}.weight", prefix, name), {c.width}});
    if (c.norm == Norm::kLayer) out.push_back({fmt::format("{}{}.bias", prefix, name), {c.width}});
  };
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const LayerConfig kind = c.layer(i);
    const auto sites = linear_sites(c, i);
    const std::string layer = layer_prefix(c, i), recurrent = fmt::format("{}{}.", layer, names.recurrent);
    const auto add_site = [&](const LinearSite& site) {
      for (const auto& part : site.parts) {
        out.push_back({fmt::format("{}{}.weight", layer, part.name), {part.out, site.in}});
        if (site.bias) out.push_back({fmt::format("{}{}.bias", layer, part.name), {part.out}});
      }
    };
    add_norm(layer, names.norm1);
    add_site(sites[kAttentionIn]);
    if (c.qk_norm && kind.attends()) {
      out.push_back({fmt::format("{}{}.weight", layer, names.q_norm), {c.head_dim}});
      out.push_back({fmt::format("{}{}.weight", layer, names.k_norm), {c.head_dim}});
    }
    add_site(sites[kAttentionOut]);
    add_site(sites[kRecurrentIn]);
    if (kind.has_mamba()) {
      const auto& m = c.mamba;
      out.push_back({recurrent + "conv1d.weight", {m.convolved(), 1, m.kernel}});
      if (m.conv_bias) out.push_back({recurrent + "conv1d.bias", {m.convolved()}});
      for (const char* name : {"dt_bias", "A_log", "D"}) out.push_back({recurrent + name, {m.n_heads}});
      if (m.gate != MambaConfig::Gate::kPlain) out.push_back({recurrent + "norm.weight", {m.inner()}});
    } else if (kind.recurs()) {
      out.push_back({recurrent + "conv.weight", {c.width, 1, c.short_conv.kernel}});
      if (c.short_conv.bias) out.push_back({recurrent + "conv.bias", {c.width}});
    }
    add_site(sites[kRecurrentOut]);
    add_norm(layer, names.post_norm1);
    add_norm(layer, names.norm2);
    add_site(sites[kFfnIn]);
    add_site(sites[kFfnOut]);
    add_norm(layer, names.post_norm2);
  }
  add_norm(names.root, names.final_norm);
  if (!c.tied_embeddings) out.push_back({"lm_head.weight", {c.vocab_size, c.width}});
  if (c.head_bias) out.push_back({"lm_head.bias", {c.vocab_size}});
  return out;
}

std::vector<std::string> linear_names(const ModelConfig& config) {
  std::vector<std::string> out;
  for (int64_t i = 0; i < config.n_layers; ++i)
    for (const auto& site : linear_sites(config, i))
      for (const auto& part : site.parts) {
        std::string name(part.name.substr(part.name.rfind('.') + 1));
        if (part.adapts && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(std::move(name));
      }
  return out;
}

}  // namespace slm::nn
