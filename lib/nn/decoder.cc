#include "nn/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "nn/checkpoint.h"

namespace slm::nn {

using at::Tensor;

namespace {

// Prompt tokens computed at once, padding included.
constexpr int64_t kPrefillTokens = 16384;
// Rotary tables grow in steps.
constexpr int64_t kFirstPositions = 1024;

Tensor int_tensor(const std::vector<int32_t>& values, at::Device device) {
  return at::tensor(at::ArrayRef<int32_t>(values.data(), values.size()), at::TensorOptions().dtype(at::kInt))
      .to(device);
}

}  // namespace

Error torch_error(const std::exception& e) {
  std::string what = e.what();
  what = what.substr(0, what.find('\n'));
  const bool memory = dynamic_cast<const std::bad_alloc*>(&e) != nullptr ||
                      what.find("out of memory") != std::string::npos ||
                      what.find("can't allocate memory") != std::string::npos;
  return {memory ? ErrorCode::kOutOfMemory : ErrorCode::kUnexpected, fmt::format("libtorch: {}", what),
          memory ? "use a smaller --batch-tokens or a smaller model" : ""};
}

Tensor Decoder::cast(const Tensor& weight) const {
  return weight.scalar_type() == options_.compute ? weight : weight.to(options_.compute);
}

Tensor Decoder::base_linear(const Tensor& x, const Linear& base, const Tensor& bias) const {
  const Tensor b = bias.defined() ? cast(bias) : bias;
  if (!base.packed.empty()) return nf4_linear(x, base.packed, b);
  return nn::linear(x, cast(base.weight), b);
}

Tensor Decoder::linear(const Tensor& x, size_t layer, size_t site_index, const Mixing& mixing) const {
  const Linear& l = layers_[layer].linears[site_index];
  const Site* site = has_lora() ? &lora_[kSites * layer + site_index] : nullptr;
  const auto is_set = [](const Tensor& a) { return a.defined(); };
  if (site == nullptr || std::none_of(site->a.begin(), site->a.end(), is_set)) return base_linear(x, l, l.bias);
  const auto [a, b] = site->packed_a.defined() ? std::pair(site->packed_a, site->packed_b) : packed(*site);
  Tensor in = x;
  if (mixing.dropout) in = x * dropout_mask(*mixing.dropout, kSites * layer + site_index, x);
  if (!lora_config_.dora) return at::addmm(base_linear(x, l, l.bias), at::linear(in, a), b.t());
  // As peft does: the base's own output is not dropped out, what the scale adds to it is.
  const Tensor scale = site->packed_scale.defined() ? site->packed_scale : row_scale(*site, l).to(options_.compute);
  const Tensor base = base_linear(x, l, {}), scaled = in.is_same(x) ? base : base_linear(in, l, {});
  Tensor y = at::addmm(scaled, at::linear(in, a), b.t()) * scale;
  if (!in.is_same(x)) y = y + base - scaled;
  return l.bias.defined() ? y + cast(l.bias) : y;
}

Tensor Decoder::embed(const std::vector<int32_t>& ids) const {
  Tensor x = at::embedding(embedding_, int_tensor(ids, options_.device).to(at::kLong));
  if (x.scalar_type() == at::kBFloat16) x = x.to(at::kFloat);
  return config_.embedding_scale == 1 ? x : x * config_.embedding_scale;
}

NormOut Decoder::norm(const Tensor& x, const Tensor& y, const NormWeights& weights) const {
  if (config_.norm == Norm::kLayer) {
    const Tensor sum = y.defined() ? x + y.to(x.scalar_type()) : x;
    return {sum,
            at::layer_norm(sum, {config_.width}, weights.weight, weights.bias, config_.norm_eps).to(options_.compute)};
  }
  const Tensor weight = config_.norm == Norm::kRmsPlusOne ? weights.weight + 1 : weights.weight;
  return add_norm(x, y, weight, config_.norm_eps, options_.compute);
}

Tensor Decoder::added(const Tensor& block, const NormWeights& post) const {
  const Tensor out = post.weight.defined() ? norm(block.to(wide_type(options_.compute)), {}, post).normed : block;
  return config_.residual_scale == 1 ? out : out * config_.residual_scale;
}

Tensor Decoder::feed_forward(const Tensor& x, size_t layer, const Mixing& mixing) const {
  Tensor in = linear(x, layer, kFfnIn, mixing);
  if (config_.activation == Activation::kReluSquared) return linear(at::relu(in).square(), layer, kFfnOut, mixing);
  const auto& s = config_.scales;
  if (s.gate != 1) {
    const auto halves = in.chunk(2, -1);
    in = at::cat({halves[0] * s.gate, halves[1]}, -1);
  }
  const Tensor out = linear(activate(in, config_.activation, config_.gated), layer, kFfnOut, mixing);
  return s.down == 1 ? out : out * s.down;
}

Tensor Decoder::head() const {
  const Tensor weight = cast(config_.tied_embeddings ? embedding_ : head_);
  return head_bias_.defined() ? at::cat({weight, cast(head_bias_).unsqueeze(1)}, 1) : weight;
}

Tensor Decoder::head_input(const Tensor& states) const {
  const Tensor x = config_.logit_divisor == 1 ? states : states / config_.logit_divisor;
  return head_bias_.defined() ? at::constant_pad_nd(x, {0, 1}, 1) : x;
}

Tensor Decoder::head_logits(const Tensor& states) const {
  const Tensor logits = nn::linear(head_input(states), head());
  const double cap = config_.logit_softcap;
  return cap > 0 ? at::tanh(logits / cap) * cap : logits;
}

AttentionShape Decoder::shape() const {
  const auto& c = config_;
  return {c.n_heads, c.n_kv_heads, c.head_dim, c.rotated(), c.score_scale(), c.attention_softcap};
}

std::vector<AttentionContext> Decoder::contexts(const ForestBatch& batch) {
  const int64_t n_positions = 1 + *std::max_element(batch.positions.begin(), batch.positions.end());
  const std::set<int32_t> keys(batch.rope_keys.begin(), batch.rope_keys.end());
  const bool keyed = keys.size() > 1 || (keys.size() == 1 && *keys.begin() != 0);
  const auto table = [&](const LayerConfig& kind, int32_t key, int64_t n) {
    const RopeConfig* rope = kind.rope < 0 ? nullptr : &config_.ropes[static_cast<size_t>(kind.rope)];
    const auto t = rope_table(rope, config_.rotated(), key, n, wide_type(options_.compute));
    return RopeTable{t.cos.to(options_.device), t.sin.to(options_.device)};
  };
  std::vector<int32_t> rows = batch.positions;  // of a table
  if (keyed)
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto place = std::distance(keys.begin(), keys.find(batch.rope_keys[i]));
      rows[i] += static_cast<int32_t>(place * n_positions);
    }
  const Tensor table_rows = int_tensor(rows, options_.device);
  const auto paths = batch.nodes.empty() ? nullptr : forest_paths(batch);
  tables_.resize(kinds_.size());

  std::vector<AttentionContext> out;
  for (size_t k = 0; k < kinds_.size(); ++k) {
    AttentionContext context;
    context.rows = table_rows;
    context.window = kinds_[k].window;
    context.paths = paths;
    if (keyed) {
      std::vector<Tensor> cos, sin;
      for (const int32_t key : keys) {
        const auto t = table(kinds_[k], key, n_positions);
        cos.push_back(t.cos);
        sin.push_back(t.sin);
      }
      context.cos = at::cat(cos);
      context.sin = at::cat(sin);
    } else {
      auto& kept = tables_[k];
      if (!kept.cos.defined() || kept.cos.size(0) < n_positions)
        kept = table(kinds_[k], 0, kept.cos.defined() ? 2 * n_positions : std::max(n_positions, kFirstPositions));
      context.cos = kept.cos;
      context.sin = kept.sin;
    }
    out.push_back(std::move(context));
  }
  return out;
}

namespace {
Tensor scaled(const Tensor& x, double factor) { return factor == 1 ? x : x * factor; }
}  // namespace

Recurrence Decoder::recurrence(const ForestBatch& batch) const {
  const bool mamba =
      std::any_of(kinds_.begin(), kinds_.end(), [](const LayerConfig& kind) { return kind.has_mamba(); });
  const int64_t taps = mamba ? config_.mamba.kernel : config_.short_conv.kernel;
  return recurrence_of(batch, taps - 1, mamba ? chunk_of(config_.mamba) : 0, options_.device);
}

Decoder::Mixing Decoder::mix_forest(const ForestBatch& batch) const {
  Mixing out;
  out.attend = [this](size_t, const Tensor& qkv, const AttentionContext& context) {
    return attention(qkv, context, shape());
  };
  if (!config_.recurs()) return out;
  out.recur = [this, where = recurrence(batch)](size_t i, const Tensor& projected) {
    const auto& weights = layers_[i].recurrent;
    if (kinds_[kind_of_[i]].has_mamba()) return mamba(projected, weights, {config_.mamba, config_.norm_eps}, where);
    return short_conv(projected, weights.conv, where);
  };
  return out;
}

Tensor Decoder::mix(const Tensor& x, size_t i, const AttentionContext& context, const Mixing& mixing) const {
  const auto& c = config_;
  const auto& layer = layers_[i];
  const LayerConfig& kind = kinds_[kind_of_[i]];
  Tensor out;
  if (kind.attends()) {
    Tensor qkv = linear(scaled(x, c.scales.attention_in), i, kAttentionIn, mixing);
    if (layer.q_norm.defined()) {
      const double one = c.norm == Norm::kRmsPlusOne ? 1 : 0;
      qkv = norm_heads(qkv, layer.q_norm + one, layer.k_norm + one, c.n_kv_heads, c.norm_eps);
    }
    out = scaled(linear(mixing.attend(i, qkv, context), i, kAttentionOut, mixing), c.scales.attention_out);
  }
  if (kind.recurs()) {
    const Tensor projected = linear(scaled(x, c.scales.mamba_in), i, kRecurrentIn, mixing);
    const Tensor mixed = scaled(linear(mixing.recur(i, projected), i, kRecurrentOut, mixing), c.scales.mamba_out);
    out = out.defined() ? mixed + out : mixed;
  }
  return out;
}

NormOut Decoder::run_layer(size_t i, NormOut in, const AttentionContext& context, const Mixing& mixing) const {
  const auto& layer = layers_[i];
  const LayerConfig& kind = kinds_[kind_of_[i]];
  // What came in is let go as soon as it is summed.
  in = norm(in.sum, in.normed, layer.norm1);
  if (kind.mixer == Mixer::kNone) return {in.sum, added(feed_forward(in.normed, i, mixing), {})};
  const Tensor mixed = mix(in.normed, i, context, mixing);
  if (config_.parallel) return {in.sum, added(mixed + feed_forward(in.normed, i, mixing), {})};
  in.normed = added(mixed, layer.post1);
  if (!kind.ffn) return in;
  in = norm(in.sum, in.normed, layer.norm2);
  return {in.sum, added(feed_forward(in.normed, i, mixing), layer.post2)};
}

NormOut Decoder::run_layers(const ForestBatch& batch, Mixing mixing, bool recompute) {
  const auto seen = contexts(batch);
  NormOut state{embed(batch.ids), {}};
  const auto shared = std::make_shared<const Mixing>(std::move(mixing));
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto& context = seen[kind_of_[i]];
    state = recompute ? recomputed(state.sum, state.normed,
                                   [this, i, context, shared](const Tensor& x, const Tensor& y) {
                                     return run_layer(i, {x, y}, context, *shared);
                                   })
                      : run_layer(i, std::move(state), context, *shared);
  }
  return state;
}

Tensor Decoder::final_states(const NormOut& states, const std::vector<int32_t>& flat) const {
  const Tensor rows = int_tensor(flat, options_.device).to(at::kLong);
  return norm(states.sum.index_select(0, rows), states.normed.index_select(0, rows), final_norm_).normed;
}

CrossEntropy Decoder::loss(const ForestBatch& batch, const LossOptions& options) {
  Mixing mixing = mix_forest(batch);
  if (at::GradMode::is_enabled() && lora_config_.dropout > 0 && has_lora())
    mixing.dropout = std::make_shared<Dropout>(dropout_of(batch, options.dropout_seed, lora_config_.dropout));
  const NormOut out = run_layers(batch, std::move(mixing), options.recompute);
  const Tensor h = head_input(final_states(out, batch.loss_at));
  const Tensor weights =
      at::tensor(at::ArrayRef<float>(batch.weights.data(), batch.weights.size()), at::kFloat).to(options_.device);
  const LossTargets targets{int_tensor(batch.targets, options_.device), weights};
  if (options.distil != nullptr) return distil_loss({h, head(), config_.logit_softcap}, targets, *options.distil);
  return linear_cross_entropy(h, head(), targets, config_.logit_softcap);
}

Scores Decoder::scores(const ForestBatch& batch) {
  at::NoGradGuard no_grad;
  const NormOut out = run_layers(batch, mix_forest(batch));
  return {head_input(final_states(out, batch.loss_at)), head(), config_.logit_softcap};
}

Tensor Decoder::logits(const ForestBatch& batch) {
  at::NoGradGuard no_grad;
  const NormOut out = run_layers(batch, mix_forest(batch));
  return head_logits(norm(out.sum, out.normed, final_norm_).normed).to(wide_type(options_.compute));
}

Tensor Decoder::prefill(std::span<const std::vector<int32_t>> prompts, int64_t capacity,
                        std::vector<LayerCache>& cache) {
  at::NoGradGuard no_grad;
  const auto& c = config_;
  std::vector<Sequence> sequences;
  for (const auto& prompt : prompts)
    sequences.push_back({prompt, prompt.size(), 0, rope_key(c, static_cast<int64_t>(prompt.size()))});
  std::vector<Placement> places;
  const auto batches = make_forests(sequences, {.max_tokens = kPrefillTokens}, &places);

  const auto n_rows = static_cast<int64_t>(prompts.size());
  const auto type = at::TensorOptions().dtype(options_.compute).device(options_.device);
  const auto wide = type.dtype(wide_type(options_.compute));
  cache.clear();
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const LayerConfig kind = c.layer(i);
    LayerCache& layer = cache.emplace_back();
    if (kind.attends())
      for (Tensor* t : {&layer.keys, &layer.values}) *t = at::zeros({n_rows, c.n_kv_heads, capacity, c.head_dim}, type);
    if (!kind.recurs()) continue;
    const auto& conv = layers_[static_cast<size_t>(i)].recurrent.conv;
    layer.recurrent.tail = at::zeros({n_rows, conv.taps() - 1, conv.weight.size(0)}, wide);
    if (kind.has_mamba())
      layer.recurrent.state = at::zeros({n_rows, c.mamba.n_heads, c.mamba.head_dim, c.mamba.state}, wide);
  }
  Tensor logits = at::empty({n_rows, c.vocab_size}, type.dtype(at::kFloat));
  for (size_t b = 0; b < batches.size(); ++b) {
    MambaRows ends;
    std::vector<Tensor> paths;  // their tokens in the batch
    std::vector<int32_t> last;
    std::vector<int64_t> which;
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (places[i].batch != b) continue;
      which.push_back(static_cast<int64_t>(i));
      ends.nodes.push_back(places[i].node);
      ends.paths.push_back(batches[b].path(places[i].node));
      last.push_back(ends.paths.back().back());
      paths.push_back(int_tensor(ends.paths.back(), options_.device).to(at::kLong));
    }
    const Tensor rows = at::tensor(which, at::kLong).to(options_.device);
    Mixing mixing;
    mixing.attend = [&](size_t layer, const Tensor& qkv, const AttentionContext& context) {
      auto parts = attention_with_cache(qkv, context, shape());
      for (size_t k = 0; k < which.size(); ++k) {
        const auto copy = [&](const Tensor& all, const Tensor& computed) {
          all[which[k]].narrow(1, 0, paths[k].size(0)).copy_(computed.index_select(0, paths[k]).transpose(0, 1));
        };
        copy(cache[layer].keys, parts.keys);
        copy(cache[layer].values, parts.values);
      }
      return std::move(parts.out);
    };
    if (c.recurs())
      mixing.recur = [&, where = recurrence(batches[b])](size_t layer, const Tensor& projected) {
        const auto& weights = layers_[layer].recurrent;
        RecurrentState after;
        Tensor out;
        if (c.layer(static_cast<int64_t>(layer)).has_mamba()) {
          out = mamba_with_state(projected, weights, {c.mamba, c.norm_eps}, where, ends, after);
          cache[layer].recurrent.state.index_copy_(0, rows, after.state);
        } else {
          out = short_conv_with_state(projected, weights.conv, where, ends.paths, after);
        }
        cache[layer].recurrent.tail.index_copy_(0, rows, after.tail);
        return out;
      };
    const NormOut states = run_layers(batches[b], mixing);
    logits.index_copy_(0, rows, head_logits(final_states(states, last)).to(at::kFloat));
  }
  return logits;
}

Tensor Decoder::step(const StepRows& rows, std::vector<LayerCache>& cache) {
  at::NoGradGuard no_grad;
  ForestBatch batch;
  batch.ids = rows.ids;
  batch.positions.assign(rows.lengths.begin(), rows.lengths.end());
  batch.rope_keys = rows.rope_keys;
  Mixing mixing;
  mixing.attend = [&](size_t i, const Tensor& qkv, const AttentionContext& context) {
    return attend_cached(qkv, context, shape(), rows.lengths, cache[i].keys, cache[i].values);
  };
  mixing.recur = [&](size_t i, const Tensor& projected) {
    const auto& weights = layers_[i].recurrent;
    if (config_.layer(static_cast<int64_t>(i)).has_mamba())
      return mamba_step(projected, weights, {config_.mamba, config_.norm_eps}, cache[i].recurrent);
    return short_conv_step(projected, weights.conv, cache[i].recurrent);
  };
  const NormOut out = run_layers(batch, mixing);
  return head_logits(norm(out.sum, out.normed, final_norm_).normed).to(at::kFloat);
}

}  // namespace slm::nn
