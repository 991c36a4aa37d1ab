#include "nn/decoder.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "nn/kernels.h"
#include "nn/safetensors.h"

namespace slm::nn {

using at::Tensor;

namespace {

// Prompt tokens computed at once, padding included.
constexpr int64_t kPrefillTokens = 16384;

at::ScalarType wide_type(at::ScalarType compute) { return compute == at::kDouble ? at::kDouble : at::kFloat; }

Tensor int_tensor(const std::vector<int32_t>& values, at::Device device) {
  return at::tensor(at::ArrayRef<int32_t>(values.data(), values.size()), at::TensorOptions().dtype(at::kInt))
      .to(device);
}

void fill_normal(const Tensor& t, Prng& prng, double deviation) {
  Tensor cpu = at::empty(t.sizes(), at::kFloat);
  float* p = cpu.data_ptr<float>();
  for (int64_t i = 0; i < cpu.numel(); ++i) p[i] = static_cast<float>(prng.normal() * deviation);
  t.copy_(cpu);
}

Result<at::ScalarType> torch_type(const std::string& dtype) {
  if (dtype == "F32") return at::kFloat;
  if (dtype == "BF16") return at::kBFloat16;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "F64") return at::kDouble;
  return fail(ErrorCode::kUnsupportedModel, fmt::format("weights of dtype {}; known: F32, BF16, F16, F64", dtype));
}

}  // namespace

double LoraConfig::scale() const {
  return rslora ? alpha / std::sqrt(static_cast<double>(rank)) : alpha / static_cast<double>(rank);
}

Error torch_error(const std::exception& e) {
  std::string what = e.what();
  what = what.substr(0, what.find('\n'));
  const bool memory = dynamic_cast<const std::bad_alloc*>(&e) != nullptr ||
                      what.find("out of memory") != std::string::npos ||
                      what.find("can't allocate memory") != std::string::npos;
  return {memory ? ErrorCode::kOutOfMemory : ErrorCode::kUnexpected, fmt::format("libtorch: {}", what),
          memory ? "use a smaller --batch-tokens or a smaller model" : ""};
}

Decoder::Decoder(ModelConfig config, Options options) : config_(std::move(config)), options_(options) { allocate(); }

void Decoder::allocate() {
  const auto& c = config_;
  const auto wide = at::TensorOptions().dtype(wide_type(options_.compute)).device(options_.device);
  const auto matrix = options_.trainable ? wide : wide.dtype(options_.compute);
  embedding_ = at::empty({c.vocab_size, c.width}, matrix);
  if (!c.tied_embeddings) head_ = at::empty({c.vocab_size, c.width}, matrix);
  final_norm_ = at::ones({c.width}, wide);
  for (int64_t i = 0; i < c.n_layers; ++i)
    layers_.push_back({at::ones({c.width}, wide),
                       at::empty({(c.n_heads + 2 * c.n_kv_heads) * c.head_dim, c.width}, matrix),
                       at::empty({c.width, c.n_heads * c.head_dim}, matrix), at::ones({c.width}, wide),
                       at::empty({2 * c.ffn_width, c.width}, matrix), at::empty({c.width, c.ffn_width}, matrix)});
  rotary_tables(std::min<int64_t>(c.max_positions, 1024));
}

void Decoder::rotary_tables(int64_t positions) {
  // As transformers computes them: inverse frequencies in float32, angles as their float32 product with the position.
  const int64_t half = config_.head_dim / 2;
  const auto type = wide_type(options_.compute);
  Tensor exponent = at::arange(0, config_.head_dim, 2, at::kLong).to(type) / static_cast<double>(config_.head_dim);
  const Tensor inverse = 1.0 / at::pow(at::scalar_tensor(config_.rope_theta, type), exponent);
  const Tensor angle = at::arange(positions, at::kLong).to(type).unsqueeze(1) * inverse.view({1, half});
  cos_ = angle.cos().contiguous().to(options_.device);
  sin_ = angle.sin().contiguous().to(options_.device);
}

Result<Decoder> Decoder::random(const ModelConfig& config, uint64_t seed, const Options& options) {
  return guarded([&]() -> Result<Decoder> {
    Decoder d(config, options);
    Prng prng(seed);
    const double out_deviation = 0.02 / std::sqrt(2.0 * static_cast<double>(config.n_layers));
    fill_normal(d.embedding_, prng, 0.02);
    if (d.head_.defined()) fill_normal(d.head_, prng, 0.02);
    for (const auto& layer : d.layers_) {
      fill_normal(layer.qkv, prng, 0.02);
      fill_normal(layer.o, prng, out_deviation);
      fill_normal(layer.gate_up, prng, 0.02);
      fill_normal(layer.down, prng, out_deviation);
    }
    for (auto& p : d.parameters()) p.value.requires_grad_(options.trainable);
    return d;
  });
}

Result<Decoder> Decoder::load(const std::filesystem::path& dir, const Options& options) {
  SLM_TRY(const ModelConfig config, read_config(dir));
  SLM_TRY(const WeightFiles files, WeightFiles::open(dir));
  return guarded([&]() -> Result<Decoder> {
    Decoder d(config, options);
    std::vector<std::string> wanted;
    for (const auto& slice : d.weights()) {
      wanted.push_back(slice.name);
      const TensorView* view = files.find(slice.name);
      if (view == nullptr)
        return fail(ErrorCode::kBadInput, fmt::format("{}: tensor {} is missing", dir.string(), slice.name));
      const auto expected = slice.value.sizes().vec();
      if (view->shape != expected)
        return fail(ErrorCode::kBadInput,
                    fmt::format("{}: tensor {} is [{}], config.json says [{}]", files.file_of(slice.name), slice.name,
                                fmt::join(view->shape, ", "), fmt::join(expected, ", ")));
      SLM_TRY(const auto type, torch_type(view->dtype));
      // The file's bytes may be unaligned for their type; copy_ from a byte view of our own is safe.
      Tensor own = at::empty(view->shape, type);
      std::memcpy(own.data_ptr(), view->data.data(), view->data.size());
      slice.value.copy_(own);
    }
    std::sort(wanted.begin(), wanted.end());
    for (const auto& name : files.names()) {
      const bool known = std::binary_search(wanted.begin(), wanted.end(), name) ||
                         (config.tied_embeddings && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq");
      if (!known)
        return fail(ErrorCode::kUnsupportedModel,
                    fmt::format("{}: tensor {} has no place in a {}", files.file_of(name), name, config.architecture));
    }
    for (auto& p : d.parameters()) p.value.requires_grad_(options.trainable);
    return d;
  });
}

std::vector<TensorSlice> Decoder::weights() const {
  const auto& c = config_;
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
  std::vector<TensorSlice> out{{"model.embed_tokens.weight", embedding_.detach()}};
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& l = layers_[i];
    const auto name = [&](const char* part) { return fmt::format("model.layers.{}.{}.weight", i, part); };
    const Tensor qkv = l.qkv.detach(), gate_up = l.gate_up.detach();
    out.push_back({name("input_layernorm"), l.norm1.detach()});
    out.push_back({name("self_attn.q_proj"), qkv.narrow(0, 0, q)});
    out.push_back({name("self_attn.k_proj"), qkv.narrow(0, q, kv)});
    out.push_back({name("self_attn.v_proj"), qkv.narrow(0, q + kv, kv)});
    out.push_back({name("self_attn.o_proj"), l.o.detach()});
    out.push_back({name("post_attention_layernorm"), l.norm2.detach()});
    out.push_back({name("mlp.gate_proj"), gate_up.narrow(0, 0, c.ffn_width)});
    out.push_back({name("mlp.up_proj"), gate_up.narrow(0, c.ffn_width, c.ffn_width)});
    out.push_back({name("mlp.down_proj"), l.down.detach()});
  }
  out.push_back({"model.norm.weight", final_norm_.detach()});
  if (head_.defined()) out.push_back({"lm_head.weight", head_.detach()});
  return out;
}

std::vector<Parameter> Decoder::parameters() const {
  std::vector<Parameter> out;
  if (has_lora()) {
    for (const auto& pair : lora_pairs()) {
      out.push_back({pair.module + ".lora_A.weight", pair.a, true});
      out.push_back({pair.module + ".lora_B.weight", pair.b, true});
    }
    return out;
  }
  out.push_back({"embed_tokens", embedding_, true});
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& l = layers_[i];
    const auto name = [&](const char* part) { return fmt::format("layers.{}.{}", i, part); };
    out.push_back({name("norm1"), l.norm1, false});
    out.push_back({name("qkv"), l.qkv, true});
    out.push_back({name("o"), l.o, true});
    out.push_back({name("norm2"), l.norm2, false});
    out.push_back({name("gate_up"), l.gate_up, true});
    out.push_back({name("down"), l.down, true});
  }
  out.push_back({"norm", final_norm_, false});
  if (head_.defined()) out.push_back({"lm_head", head_, true});
  return out;
}

// --- adapters
// ----------------------------------------------------------------------------------------------------------

std::vector<Decoder::Site> Decoder::empty_sites() const {
  const auto& c = config_;
  std::vector<Site> out;
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const auto path = [&](const char* part) { return fmt::format("model.layers.{}.{}", i, part); };
    const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
    out.push_back(
        {{q, kv, kv}, {path("self_attn.q_proj"), path("self_attn.k_proj"), path("self_attn.v_proj")}, {}, {}, {}, {}});
    out.push_back({{c.width}, {path("self_attn.o_proj")}, {}, {}, {}, {}});
    out.push_back({{c.ffn_width, c.ffn_width}, {path("mlp.gate_proj"), path("mlp.up_proj")}, {}, {}, {}, {}});
    out.push_back({{c.width}, {path("mlp.down_proj")}, {}, {}, {}, {}});
  }
  for (auto& site : out) {
    site.a.resize(site.modules.size());
    site.b.resize(site.modules.size());
  }
  return out;
}

namespace {
std::string last_part(const std::string& module) { return module.substr(module.rfind('.') + 1); }
}  // namespace

Status Decoder::add_lora(const LoraConfig& lora, uint64_t seed, bool trainable) {
  for (const auto& target : lora.targets)
    if (std::find(std::begin(kLinearNames), std::end(kLinearNames), target) == std::end(kLinearNames))
      return fail(ErrorCode::kUsage,
                  fmt::format("LoRA target \"{}\"; known: {}", target, fmt::join(kLinearNames, ", ")));
  if (lora.rank < 1) return fail(ErrorCode::kUsage, fmt::format("LoRA rank {} is below 1", lora.rank));
  return guarded([&]() -> Status {
    Prng prng(seed);
    std::vector<LoraPair> pairs;
    const auto wide = at::TensorOptions().dtype(wide_type(options_.compute));
    const auto& c = config_;
    const std::vector<int64_t> in_sizes{c.width, c.n_heads * c.head_dim, c.width, c.ffn_width};
    const auto sites = empty_sites();
    for (size_t s = 0; s < sites.size(); ++s)
      for (size_t i = 0; i < sites[s].modules.size(); ++i) {
        const auto& module = sites[s].modules[i];
        if (!lora.targets.empty() &&
            std::find(lora.targets.begin(), lora.targets.end(), last_part(module)) == lora.targets.end())
          continue;
        const int64_t in = in_sizes[s % 4];
        const double bound = 1.0 / std::sqrt(static_cast<double>(in));  // Kaiming uniform with a = √5
        Tensor a = at::empty({lora.rank, in}, at::kFloat);
        for (int64_t k = 0; k < a.numel(); ++k)
          a.data_ptr<float>()[k] = static_cast<float>((2 * prng.uniform() - 1) * bound);
        pairs.push_back({module, a.to(wide), at::zeros({sites[s].out_sizes[i], lora.rank}, wide)});
      }
    return set_lora(lora, std::move(pairs), trainable);
  });
}

Status Decoder::set_lora(const LoraConfig& lora, std::vector<LoraPair> pairs, bool trainable) {
  return guarded([&]() -> Status {
    auto sites = empty_sites();
    const auto& c = config_;
    const std::vector<int64_t> in_sizes{c.width, c.n_heads * c.head_dim, c.width, c.ffn_width};
    for (auto& pair : pairs) {
      bool placed = false;
      for (size_t s = 0; s < sites.size() && !placed; ++s) {
        const auto it = std::find(sites[s].modules.begin(), sites[s].modules.end(), pair.module);
        if (it == sites[s].modules.end()) continue;
        const auto i = static_cast<size_t>(it - sites[s].modules.begin());
        const std::vector<int64_t> want_a{lora.rank, in_sizes[s % 4]}, want_b{sites[s].out_sizes[i], lora.rank};
        if (pair.a.sizes().vec() != want_a || pair.b.sizes().vec() != want_b)
          return fail(ErrorCode::kManifestMismatch,
                      fmt::format("adapter for {}: A [{}] and B [{}], this model needs [{}] and [{}]", pair.module,
                                  fmt::join(pair.a.sizes().vec(), ", "), fmt::join(pair.b.sizes().vec(), ", "),
                                  fmt::join(want_a, ", "), fmt::join(want_b, ", ")));
        const auto wide = at::TensorOptions().dtype(wide_type(options_.compute)).device(options_.device);
        sites[s].a[i] = pair.a.detach().to(wide).clone().requires_grad_(trainable);
        sites[s].b[i] = pair.b.detach().to(wide).clone().requires_grad_(trainable);
        placed = true;
      }
      if (!placed)
        return fail(ErrorCode::kManifestMismatch,
                    fmt::format("adapter for {}: this model has no such linear", pair.module));
    }
    for (auto& p : parameters())
      if (!has_lora()) p.value.requires_grad_(false);
    lora_config_ = lora;
    lora_ = std::move(sites);
    if (!trainable)
      for (auto& site : lora_) pack(site);
    return {};
  });
}

void Decoder::clear_lora() { lora_.clear(); }

std::vector<LoraPair> Decoder::lora_pairs() const {
  std::vector<LoraPair> out;
  for (const auto& site : lora_)
    for (size_t i = 0; i < site.modules.size(); ++i)
      if (site.a[i].defined()) out.push_back({site.modules[i], site.a[i], site.b[i]});
  return out;
}

// Stacks a site's adapters: A [n·r, in] and the scaled block diagonal B [out, n·r], so that q, k and v cost two
// products.
std::pair<Tensor, Tensor> Decoder::packed(const Site& site) const {
  std::vector<Tensor> as, bs;
  int64_t n = 0, at_column = 0;
  for (const auto& a : site.a) n += a.defined() ? 1 : 0;
  const int64_t r = lora_config_.rank, columns = n * r;
  for (size_t i = 0; i < site.modules.size(); ++i) {
    if (!site.a[i].defined()) {
      bs.push_back(at::zeros({site.out_sizes[i], columns}, embedding_.options().dtype(wide_type(options_.compute))));
      continue;
    }
    as.push_back(site.a[i]);
    bs.push_back(n == 1 && site.modules.size() == 1
                     ? site.b[i]
                     : at::constant_pad_nd(site.b[i], {at_column, columns - at_column - r}));
    at_column += r;
  }
  return {at::cat(as).to(options_.compute), (at::cat(bs) * lora_config_.scale()).to(options_.compute)};
}

void Decoder::pack(Site& site) const {
  if (std::none_of(site.a.begin(), site.a.end(), [](const Tensor& a) { return a.defined(); })) return;
  at::NoGradGuard no_grad;
  std::tie(site.packed_a, site.packed_b) = packed(site);
}

// --- forward
// -----------------------------------------------------------------------------------------------------------

Tensor Decoder::cast(const Tensor& weight) const {
  return weight.scalar_type() == options_.compute ? weight : weight.to(options_.compute);
}

Tensor Decoder::linear(const Tensor& x, const Tensor& weight, size_t site_index) const {
  Tensor y = at::linear(x, cast(weight));
  if (!has_lora()) return y;
  const Site& site = lora_[site_index];
  if (std::none_of(site.a.begin(), site.a.end(), [](const Tensor& a) { return a.defined(); })) return y;
  const auto [a, b] = site.packed_a.defined() ? std::pair(site.packed_a, site.packed_b) : packed(site);
  Tensor in = x;
  if (dropout_ && at::GradMode::is_enabled()) {
    // Drawn on the CPU, so that the same seed gives the same mask on every device.
    const double keep = 1.0 - lora_config_.dropout;
    const Tensor mask = at::empty(x.sizes(), at::kFloat).bernoulli_(keep, *dropout_).div_(keep);
    in = x * mask.to(x.options());
  }
  return at::addmm(y, at::linear(in, a), b.t());
}

Tensor Decoder::embed(const Tensor& ids) const {
  const Tensor x = at::embedding(embedding_, ids);
  return x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
}

AttentionContext Decoder::attention_context(const RowBatch& batch) {
  int32_t last = 0;
  for (const int32_t p : batch.positions) last = std::max(last, p);
  if (last >= cos_.size(0)) rotary_tables(std::max<int64_t>(last + 1, cos_.size(0) * 2));
  AttentionContext out{
      cos_, sin_, int_tensor(batch.positions, options_.device), int_tensor(batch.starts, options_.device), {}, {}};
  if (!batch.prefix_ends.empty()) {
    out.prefix_starts = int_tensor(batch.prefix_starts, options_.device);
    out.prefix_ends = int_tensor(batch.prefix_ends, options_.device);
  }
  return out;
}

NormOut Decoder::run(const RowBatch& batch, std::vector<LayerCache>* cache) {
  const auto& c = config_;
  const AttentionContext context = attention_context(batch);
  const AttentionShape shape{batch.rows, batch.length, c.n_heads, c.n_kv_heads, c.head_dim};
  Tensor x = embed(int_tensor(batch.ids, options_.device).to(at::kLong)), y;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& l = layers_[i];
    auto in = add_norm(x, y, l.norm1, c.norm_eps, options_.compute);
    const Tensor qkv = linear(in.normed, l.qkv, 4 * i);
    Tensor attended;
    if (cache != nullptr) {
      auto parts = attention_with_cache(qkv, context, shape);
      cache->push_back({std::move(parts.keys), std::move(parts.values)});
      attended = std::move(parts.out);
    } else {
      attended = attention(qkv, context, shape);
    }
    auto mid = add_norm(in.sum, linear(attended, l.o, 4 * i + 1), l.norm2, c.norm_eps, options_.compute);
    y = linear(swiglu(linear(mid.normed, l.gate_up, 4 * i + 2)), l.down, 4 * i + 3);
    x = mid.sum;
  }
  return {x, y};
}

Tensor Decoder::final_states(const NormOut& states, const std::vector<int32_t>& flat) const {
  const Tensor rows = int_tensor(flat, options_.device).to(at::kLong);
  return add_norm(states.sum.index_select(0, rows), states.normed.index_select(0, rows), final_norm_, config_.norm_eps,
                  options_.compute)
      .normed;
}

CrossEntropy Decoder::loss(const RowBatch& batch, uint64_t dropout_seed) {
  dropout_.reset();
  if (at::GradMode::is_enabled() && lora_config_.dropout > 0 && has_lora())
    dropout_ = at::make_generator<at::CPUGeneratorImpl>(dropout_seed);
  const NormOut out = run(batch, nullptr);
  dropout_.reset();
  const Tensor h = final_states(out, batch.loss_at);
  const Tensor weights =
      at::tensor(at::ArrayRef<float>(batch.weights.data(), batch.weights.size()), at::kFloat).to(options_.device);
  return linear_cross_entropy(h, cast(head()), int_tensor(batch.targets, options_.device), weights);
}

Tensor Decoder::logits(const RowBatch& batch) {
  at::NoGradGuard no_grad;
  const NormOut out = run(batch, nullptr);
  const Tensor h = add_norm(out.sum, out.normed, final_norm_, config_.norm_eps, options_.compute).normed;
  return at::linear(h, cast(head())).to(wide_type(options_.compute));
}

Tensor Decoder::prefill(std::span<const std::vector<int32_t>> prompts, int64_t capacity,
                        std::vector<LayerCache>& cache) {
  at::NoGradGuard no_grad;
  const auto& c = config_;
  std::vector<Sequence> sequences;
  for (const auto& prompt : prompts) sequences.push_back({prompt, prompt.size(), 0});
  std::vector<Placement> places;
  const auto batches = pack_rows(sequences, {.row_length = 0, .max_tokens = kPrefillTokens}, &places);

  const auto n_rows = static_cast<int64_t>(prompts.size());
  const auto type = at::TensorOptions().dtype(options_.compute).device(options_.device);
  cache.clear();
  for (int64_t i = 0; i < c.n_layers; ++i)
    cache.push_back({at::zeros({n_rows, c.n_kv_heads, capacity, c.head_dim}, type),
                     at::zeros({n_rows, c.n_kv_heads, capacity, c.head_dim}, type)});
  Tensor logits = at::empty({n_rows, c.vocab_size}, type.dtype(at::kFloat));
  for (size_t b = 0; b < batches.size(); ++b) {
    std::vector<LayerCache> packed_cache;
    const NormOut states = run(batches[b], &packed_cache);
    std::vector<int32_t> last;
    std::vector<int64_t> which;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto& p = places[i];
      if (p.batch != b) continue;
      const int64_t rest = static_cast<int64_t>(prompts[i].size()) - p.n_prefix;
      which.push_back(static_cast<int64_t>(i));
      last.push_back(static_cast<int32_t>(p.row * batches[b].length + p.start + rest - 1));
      for (size_t layer = 0; layer < cache.size(); ++layer) {
        const auto copy = [&](const Tensor& to, const Tensor& from) {
          const Tensor row = from[p.row], own = to[static_cast<int64_t>(i)];
          if (p.n_prefix > 0) own.narrow(1, 0, p.n_prefix).copy_(row.narrow(1, p.prefix_start, p.n_prefix));
          own.narrow(1, p.n_prefix, rest).copy_(row.narrow(1, p.start, rest));
        };
        copy(cache[layer].keys, packed_cache[layer].keys);
        copy(cache[layer].values, packed_cache[layer].values);
      }
    }
    logits.index_copy_(0, at::tensor(which, at::kLong).to(options_.device),
                       at::linear(final_states(states, last), cast(head())).to(at::kFloat));
  }
  return logits;
}

Tensor Decoder::step(const std::vector<int32_t>& ids, const std::vector<int64_t>& lengths,
                     std::vector<LayerCache>& cache) {
  at::NoGradGuard no_grad;
  const auto& c = config_;
  const auto n = static_cast<int64_t>(ids.size());
  RowBatch batch;
  batch.rows = n;
  batch.length = 1;
  batch.positions.assign(lengths.begin(), lengths.end());
  batch.starts.assign(ids.size(), 0);
  const AttentionContext context = attention_context(batch);
  const int64_t group = c.n_heads / c.n_kv_heads, capacity = cache[0].keys.size(2);
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end()) + 1;
  Tensor x = embed(int_tensor(ids, options_.device).to(at::kLong)), y;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& l = layers_[i];
    auto in = add_norm(x, y, l.norm1, c.norm_eps, options_.compute);
    const Tensor qkv = linear(in.normed, l.qkv, 4 * i);
    Tensor attended = at::empty({n, c.n_heads * c.head_dim}, qkv.options());
    auto& entry = cache[i];
    if (has_kernel(qkv)) {
      const bool bf = qkv.scalar_type() == at::kBFloat16;
      const auto size = qkv.element_size();
      const auto base = [&](const Tensor& t, int64_t element) {
        return static_cast<char*>(t.data_ptr()) + element * size;
      };
      const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
      const HeadShape shape{1, c.n_heads, c.n_kv_heads, c.head_dim};
      Tensor q = at::empty_like(attended);
      Tensor kv = at::empty({2, c.n_kv_heads * c.head_dim}, qkv.options());
      for (int64_t b = 0; b < n; ++b) {
        kernels().split_rotate(base(qkv, b * qkv.size(1)), cos_.data_ptr<float>(), sin_.data_ptr<float>(),
                               context.positions.data_ptr<int32_t>() + b, scale, shape, base(q, b * q.size(1)),
                               base(kv, 0), base(kv, kv.size(1)), bf);
        for (int64_t h = 0; h < c.n_kv_heads; ++h) {
          const int64_t to = ((b * c.n_kv_heads + h) * capacity + lengths[static_cast<size_t>(b)]) * c.head_dim;
          std::memcpy(base(entry.keys, to), base(kv, h * c.head_dim), static_cast<size_t>(c.head_dim * size));
          std::memcpy(base(entry.values, to), base(kv, kv.size(1) + h * c.head_dim),
                      static_cast<size_t>(c.head_dim * size));
        }
      }
      at::parallel_for(0, n * c.n_kv_heads, 8, [&](int64_t from, int64_t to) {
        std::vector<float> scratch(static_cast<size_t>(longest));
        for (int64_t j = from; j < to; ++j) {
          const int64_t at_q = j * group * c.head_dim, at_cache = j * capacity * c.head_dim;
          kernels().attend_one(base(q, at_q), base(entry.keys, at_cache), base(entry.values, at_cache), group,
                               lengths[static_cast<size_t>(j / c.n_kv_heads)] + 1, c.head_dim, scratch.data(),
                               base(attended, at_q), bf);
        }
      });
    } else {
      // Each row as a batch row of one token: attention over itself gives its rotated key; then over the whole cache.
      const AttentionShape shape{n, 1, c.n_heads, c.n_kv_heads, c.head_dim};
      AttentionContext one = context;
      const auto parts = attention_with_cache(qkv, one, shape);
      const Tensor positions = context.positions.to(at::kLong), rows = at::arange(n, positions.options());
      entry.keys.index_put_({rows, at::indexing::Slice(), positions}, parts.keys.squeeze(2));
      entry.values.index_put_({rows, at::indexing::Slice(), positions}, parts.values.squeeze(2));
      const int64_t half = c.head_dim / 2;
      const Tensor q0 = qkv.narrow(1, 0, c.n_heads * c.head_dim).view({n, c.n_heads, c.head_dim});
      const Tensor cos = cos_.index_select(0, positions).view({n, 1, half}).to(qkv.scalar_type());
      const Tensor sin = sin_.index_select(0, positions).view({n, 1, half}).to(qkv.scalar_type());
      const Tensor a = q0.narrow(2, 0, half), b = q0.narrow(2, half, half);
      const Tensor q = at::cat({a * cos - b * sin, b * cos + a * sin}, -1).unsqueeze(2);
      const Tensor keys = entry.keys.narrow(2, 0, longest).repeat_interleave(group, 1);
      const Tensor values = entry.values.narrow(2, 0, longest).repeat_interleave(group, 1);
      const Tensor hidden =
          at::arange(longest, positions.options()).view({1, 1, 1, longest}) > positions.view({n, 1, 1, 1});
      const Tensor scores = (at::matmul(q, keys.transpose(2, 3)) / std::sqrt(static_cast<double>(c.head_dim)))
                                .masked_fill(hidden, -std::numeric_limits<double>::infinity());
      attended = at::matmul(at::softmax(scores, -1), values).reshape({n, c.n_heads * c.head_dim});
    }
    auto mid = add_norm(in.sum, linear(attended, l.o, 4 * i + 1), l.norm2, c.norm_eps, options_.compute);
    y = linear(swiglu(linear(mid.normed, l.gate_up, 4 * i + 2)), l.down, 4 * i + 3);
    x = mid.sum;
  }
  const Tensor h = add_norm(x, y, final_norm_, c.norm_eps, options_.compute).normed;
  return at::linear(h, cast(head())).to(at::kFloat);
}

}  // namespace slm::nn
