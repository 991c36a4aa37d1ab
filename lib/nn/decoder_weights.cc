// The decoder's weights: made, read from a checkpoint, named.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "nn/decoder.h"
#include "nn/process_memory.h"

namespace slm::nn {

using at::Tensor;

namespace {

constexpr const char* kSiteNames[kSites] = {"qkv", "o", "gate_up", "down", "recurrent_in", "recurrent_out"};

void fill_normal(const Tensor& t, Prng& prng, double deviation) {
  Tensor cpu = at::empty(t.sizes(), at::kFloat);
  float* p = cpu.data_ptr<float>();
  for (int64_t i = 0; i < cpu.numel(); ++i) p[i] = static_cast<float>(prng.normal() * deviation);
  t.copy_(cpu);
}

// As makers begin: decays of 1 to the number of heads, time steps from 0.001 to 0.1, nothing past the state but what D
// lets through.
void fill_recurrent(const MambaWeights& r, Prng& prng) {
  if (!r.conv.weight.defined()) return;
  fill_normal(r.conv.weight, prng, 1 / std::sqrt(static_cast<double>(r.conv.taps())));
  if (!r.a_log.defined()) return;
  Tensor steps = at::empty({r.dt_bias.size(0)}, at::kDouble);
  for (int64_t i = 0; i < steps.numel(); ++i) steps.data_ptr<double>()[i] = 0.001 * std::pow(100.0, prng.uniform());
  r.dt_bias.copy_(steps + at::log(-at::expm1(-steps)));  // softplus of it is the step
  r.a_log.copy_(at::log(at::arange(1, r.a_log.size(0) + 1, at::kDouble)));
  r.d.fill_(1);
}

Tensor rows_of(const Tensor& t, int64_t from, int64_t n) { return n < 0 || !t.defined() ? t : t.narrow(0, from, n); }

}  // namespace

Result<at::ScalarType> torch_type(const std::string& dtype) {
  if (dtype == "F32") return at::kFloat;
  if (dtype == "BF16") return at::kBFloat16;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "F64") return at::kDouble;
  return fail(ErrorCode::kUnsupportedModel, fmt::format("weights of dtype {}; known: F32, BF16, F16, F64", dtype));
}

// The file's bytes may be unaligned for their type; a copy of our own is not.
Result<Tensor> tensor_of(const TensorView& view) {
  SLM_TRY(const auto type, torch_type(view.dtype));
  Tensor out = at::empty(view.shape, type);
  std::memcpy(out.data_ptr(), view.data.data(), view.data.size());
  return out;
}

Decoder::Decoder(ModelConfig config, Options options) : config_(std::move(config)), options_(options) {
  settle_process_memory();
  allocate();
}

void Decoder::allocate() {
  const auto& c = config_;
  const auto wide = at::TensorOptions().dtype(wide_type(options_.compute)).device(options_.device);
  const auto matrix = options_.trainable ? wide : wide.dtype(options_.compute);
  const auto norm = [&](std::string_view name) {
    NormWeights out;
    if (name.empty()) return out;
    out.weight = c.norm == Norm::kRmsPlusOne ? at::zeros({c.width}, wide) : at::ones({c.width}, wide);
    if (c.norm == Norm::kLayer) out.bias = at::zeros({c.width}, wide);
    return out;
  };
  embedding_ = at::empty({c.vocab_size, c.width}, matrix);
  if (!c.tied_embeddings) head_ = at::empty({c.vocab_size, c.width}, matrix);
  if (c.head_bias) head_bias_ = at::zeros({c.vocab_size}, matrix);
  final_norm_ = norm(c.names->final_norm);
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const auto sites = linear_sites(c, i);
    const LayerConfig kind = c.layer(i);
    Layer layer;
    for (size_t s = 0; s < kSites; ++s) {
      if (sites[s].parts.empty()) continue;
      const auto held = options_.nf4 == Nf4Base::kPacked ? matrix.device(at::kMeta) : matrix;
      layer.linears[s].weight = at::empty({sites[s].out, sites[s].in}, held);
      if (sites[s].bias) layer.linears[s].bias = at::zeros({sites[s].out}, matrix);
    }
    layer.norm1 = norm(c.names->norm1);
    layer.post1 = norm(c.names->post_norm1);
    layer.norm2 = norm(c.names->norm2);
    layer.post2 = norm(c.names->post_norm2);
    if (kind.recurs()) {
      auto& r = layer.recurrent;
      const auto& m = c.mamba;
      const bool mamba = kind.has_mamba();
      const int64_t channels = mamba ? m.convolved() : c.width, taps = mamba ? m.kernel : c.short_conv.kernel;
      r.conv.weight = at::zeros({channels, 1, taps}, wide);
      if (mamba ? m.conv_bias : c.short_conv.bias) r.conv.bias = at::zeros({channels}, wide);
      if (mamba) {
        for (Tensor* t : {&r.dt_bias, &r.a_log, &r.d}) *t = at::zeros({m.n_heads}, wide);
        if (m.gate != MambaConfig::Gate::kPlain) r.norm = at::ones({m.inner()}, wide);
      }
    }
    if (c.qk_norm && kind.attends()) {
      layer.q_norm = c.norm == Norm::kRmsPlusOne ? at::zeros({c.head_dim}, wide) : at::ones({c.head_dim}, wide);
      layer.k_norm = layer.q_norm.clone();
    }
    layers_.push_back(std::move(layer));
    const auto known = std::find(kinds_.begin(), kinds_.end(), kind);
    kind_of_.push_back(static_cast<size_t>(known - kinds_.begin()));
    if (known == kinds_.end()) kinds_.push_back(kind);
  }
}

// Our tensors in the order of checkpoint_tensors(): the same walk over layers, norms and linears.
template <class Use>
void Decoder::walk_weights(const Use& use) const {
  const auto tensors = checkpoint_tensors(config_);
  size_t next = 0;
  const auto give = [&](const Tensor& t, int64_t from = 0, int64_t n = -1) {
    if (t.defined()) use(tensors[next++].name, t, from, n);
  };
  const auto give_norm = [&](const NormWeights& weights) {
    give(weights.weight);
    give(weights.bias);
  };
  give(embedding_);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& layer = layers_[i];
    const auto sites = linear_sites(config_, static_cast<int64_t>(i));
    const auto give_site = [&](size_t s) {
      int64_t from = 0;
      for (const auto& part : sites[s].parts) {
        give(layer.linears[s].weight, from, part.out);
        give(layer.linears[s].bias, from, part.out);
        from += part.out;
      }
    };
    give_norm(layer.norm1);
    give_site(kAttentionIn);
    give(layer.q_norm);
    give(layer.k_norm);
    give_site(kAttentionOut);
    give_site(kRecurrentIn);
    const auto& r = layer.recurrent;
    for (const Tensor* t : {&r.conv.weight, &r.conv.bias, &r.dt_bias, &r.a_log, &r.d, &r.norm}) give(*t);
    give_site(kRecurrentOut);
    give_norm(layer.post1);
    give_norm(layer.norm2);
    give_site(kFfnIn);
    give_site(kFfnOut);
    give_norm(layer.post2);
  }
  give_norm(final_norm_);
  give(head_);
  give(head_bias_);
}

std::vector<TensorSlice> Decoder::weights() const {
  std::vector<TensorSlice> out;
  walk_weights([&](const std::string& name, const Tensor& t, int64_t from, int64_t n) {
    out.push_back({name, rows_of(t.detach(), from, n)});
  });
  return out;
}

std::vector<TensorSlice> Decoder::gradients() const {
  std::vector<TensorSlice> out;
  walk_weights([&](const std::string& name, const Tensor& t, int64_t from, int64_t n) {
    out.push_back({name, rows_of(t.grad(), from, n)});
  });
  return out;
}

std::vector<Parameter> Decoder::parameters() const {
  std::vector<Parameter> out;
  if (has_lora()) {
    for (const auto& pair : lora_pairs()) {
      out.push_back({pair.module + ".lora_A.weight", pair.a, true});
      out.push_back({pair.module + ".lora_B.weight", pair.b, true});
      if (pair.magnitude.defined()) out.push_back({pair.module + ".lora_magnitude_vector", pair.magnitude, false});
    }
    return out;
  }
  const auto add = [&](const std::string& name, const Tensor& t, bool decay) {
    if (t.defined()) out.push_back({name, t, decay});
  };
  add("embed_tokens", embedding_, true);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& layer = layers_[i];
    const auto name = [&](std::string_view part) { return fmt::format("layers.{}.{}", i, part); };
    const auto add_site = [&](size_t s) {
      add(name(kSiteNames[s]), layer.linears[s].weight, true);
      add(name(kSiteNames[s]) + "_bias", layer.linears[s].bias, false);
    };
    const auto add_norm_weights = [&](const char* part, const NormWeights& weights) {
      add(name(part), weights.weight, false);
      add(name(part) + "_bias", weights.bias, false);
    };
    add_norm_weights("norm1", layer.norm1);
    add_site(kAttentionIn);
    add(name("q_norm"), layer.q_norm, false);
    add(name("k_norm"), layer.k_norm, false);
    add_site(kAttentionOut);
    add_site(kRecurrentIn);
    const auto& r = layer.recurrent;
    add(name("conv"), r.conv.weight, true);
    add(name("conv_bias"), r.conv.bias, false);
    add(name("dt_bias"), r.dt_bias, false);
    add(name("a_log"), r.a_log, false);
    add(name("d"), r.d, false);
    add(name("recurrent_norm"), r.norm, false);
    add_site(kRecurrentOut);
    add_norm_weights("post1", layer.post1);
    add_norm_weights("norm2", layer.norm2);
    add_site(kFfnIn);
    add_site(kFfnOut);
    add_norm_weights("post2", layer.post2);
  }
  add("norm", final_norm_.weight, false);
  add("norm_bias", final_norm_.bias, false);
  add("lm_head", head_, true);
  add("lm_head_bias", head_bias_, false);
  return out;
}

// Requires: the parts of a linear come in their order.
void Decoder::set_nf4(Linear& linear, int64_t from, const Tensor& weight) const {
  Nf4 part = nf4_quantise(weight.cpu());
  if (options_.nf4 == Nf4Base::kRounded) {
    linear.weight.narrow(0, from, part.rows).copy_(nf4_dequantise({&part, 1}, options_.compute));
    return;
  }
  for (Tensor* t : {&part.packed, &part.scales, &part.outer_scales}) *t = t->to(options_.device);
  linear.packed.push_back(std::move(part));
}

Status Decoder::check(const Options& options) {
  if (options.trainable && options.nf4 != Nf4Base::kNo)
    return fail(ErrorCode::kUsage, "weights in NF4 can't be trained themselves", "adapters over them can");
  return {};
}

Result<Decoder> Decoder::random(const ModelConfig& config, uint64_t seed, const Options& options) {
  SLM_CHECK(check(options));
  return guarded([&]() -> Result<Decoder> {
    Decoder d(config, options);
    Prng prng(seed);
    const double out_deviation = 0.02 / std::sqrt(2.0 * static_cast<double>(config.n_layers));
    fill_normal(d.embedding_, prng, 0.02);
    if (d.head_.defined()) fill_normal(d.head_, prng, 0.02);
    for (int64_t i = 0; i < config.n_layers; ++i) {
      Layer& layer = d.layers_[static_cast<size_t>(i)];
      const auto sites = linear_sites(config, i);
      for (size_t s = 0; s < kSites; ++s) {
        Linear& linear = layer.linears[s];
        if (sites[s].parts.empty()) continue;
        const bool packed = options.nf4 == Nf4Base::kPacked;
        const Tensor weight = packed ? at::empty(linear.weight.sizes(), at::kFloat) : linear.weight;
        fill_normal(weight, prng, s % 2 == 0 ? 0.02 : out_deviation);
        if (options.nf4 == Nf4Base::kNo) continue;
        int64_t from = 0;
        for (const auto& part : sites[s].parts) {
          d.set_nf4(linear, from, weight.narrow(0, from, part.out));
          from += part.out;
        }
      }
      fill_recurrent(layer.recurrent, prng);
    }
    for (auto& p : d.parameters()) p.value.requires_grad_(options.trainable);
    return d;
  });
}

Result<Decoder> Decoder::load(const std::filesystem::path& dir, const Options& options) {
  SLM_TRY(const ModelConfig config, read_config(dir));
  SLM_TRY(const WeightFiles files, WeightFiles::open(dir));
  return from_weights(config, files, options);
}

Result<Decoder> Decoder::from_weights(const ModelConfig& config, const WeightFiles& files, const Options& options) {
  SLM_CHECK(check(options));
  return guarded([&]() -> Result<Decoder> {
    Decoder d(config, options);
    std::vector<std::string> wanted;
    std::map<std::string, std::pair<Linear*, int64_t>> quantised;  // tensor → its linear, and first row there
    if (options.nf4 != Nf4Base::kNo)
      for (size_t s = 0; auto& site : d.empty_sites()) {
        Linear& linear = d.layers_[s / kSites].linears[s % kSites];
        ++s;
        int64_t from = 0;
        for (size_t i = 0; i < site.modules.size(); ++i) {
          quantised[site.modules[i] + ".weight"] = {&linear, from};
          from += site.out_sizes[i];
        }
      }
    for (const auto& slice : d.weights()) {
      wanted.push_back(slice.name);
      const TensorView* view = find_tensor(files, config, slice.name);
      if (view == nullptr)
        return fail(ErrorCode::kBadInput, fmt::format("{}: tensor {} is missing", files.place(), slice.name));
      const auto expected = slice.value.sizes().vec();
      if (view->shape != expected)
        return fail(ErrorCode::kBadInput,
                    fmt::format("{}: tensor {} is [{}], config.json says [{}]", files.file_of(slice.name), slice.name,
                                fmt::join(view->shape, ", "), fmt::join(expected, ", ")));
      SLM_TRY(const Tensor own, tensor_of(*view));
      if (const auto it = quantised.find(slice.name); it != quantised.end())
        d.set_nf4(*it->second.first, it->second.second, own);
      else
        slice.value.copy_(own);
    }
    std::sort(wanted.begin(), wanted.end());
    for (const auto& name : files.names()) {
      const bool known = std::binary_search(wanted.begin(), wanted.end(), own_name(config, name)) ||
                         (config.tied_embeddings && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq");
      if (!known)
        return fail(ErrorCode::kUnsupportedModel,
                    fmt::format("{}: tensor {} has no place in a {}", files.file_of(name), name, config.architecture));
    }
    for (auto& p : d.parameters()) p.value.requires_grad_(options.trainable);
    return d;
  });
}

}  // namespace slm::nn
