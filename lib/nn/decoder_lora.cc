// The decoder's adapters.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "nn/decoder.h"

namespace slm::nn {

using at::Tensor;

namespace {

std::string last_part(const std::string& module) { return module.substr(module.rfind('.') + 1); }

}  // namespace

double LoraConfig::scale() const {
  return rslora ? alpha / std::sqrt(static_cast<double>(rank)) : alpha / static_cast<double>(rank);
}

std::vector<Decoder::Site> Decoder::empty_sites() const {
  std::vector<Site> out;
  for (int64_t i = 0; i < config_.n_layers; ++i)
    for (const auto& site : linear_sites(config_, i)) {
      Site s;
      s.in = site.in;
      for (const auto& part : site.parts) {
        s.out_sizes.push_back(part.out);
        s.adapts.push_back(part.adapts);
        s.modules.push_back(fmt::format("{}{}", layer_prefix(config_, i), part.name));
      }
      s.a.resize(site.parts.size());
      s.b.resize(site.parts.size());
      s.magnitude.resize(site.parts.size());
      out.push_back(std::move(s));
    }
  return out;
}

Status Decoder::add_lora(const LoraConfig& lora, uint64_t seed, bool trainable) {
  const auto known = linear_names(config_);
  for (const auto& target : lora.targets)
    if (std::find(known.begin(), known.end(), target) == known.end())
      return fail(ErrorCode::kUsage, fmt::format("LoRA target \"{}\"; a {} has: {}", target, config_.architecture,
                                                 fmt::join(known, ", ")));
  if (lora.rank < 1) return fail(ErrorCode::kUsage, fmt::format("LoRA rank {} is below 1", lora.rank));
  return guarded([&]() -> Status {
    Prng prng(seed);
    std::vector<LoraPair> pairs;
    const auto wide = at::TensorOptions().dtype(wide_type(options_.compute));
    for (const auto& site : empty_sites())
      for (size_t i = 0; i < site.modules.size(); ++i) {
        const auto& module = site.modules[i];
        if (!site.adapts[i]) continue;
        if (!lora.targets.empty() &&
            std::find(lora.targets.begin(), lora.targets.end(), last_part(module)) == lora.targets.end())
          continue;
        const double bound = 1.0 / std::sqrt(static_cast<double>(site.in));  // Kaiming uniform with a = √5
        Tensor a = at::empty({lora.rank, site.in}, at::kFloat);
        for (int64_t k = 0; k < a.numel(); ++k)
          a.data_ptr<float>()[k] = static_cast<float>((2 * prng.uniform() - 1) * bound);
        pairs.push_back({module, a.to(wide), at::zeros({site.out_sizes[i], lora.rank}, wide), {}});
      }
    return set_lora(lora, std::move(pairs), trainable);
  });
}

Status Decoder::set_lora(const LoraConfig& lora, std::vector<LoraPair> pairs, bool trainable) {
  return guarded([&]() -> Status {
    auto sites = empty_sites();
    for (auto& pair : pairs) {
      pair.module = own_name(config_, pair.module);
      bool placed = false;
      for (size_t s = 0; s < sites.size() && !placed; ++s) {
        const auto it = std::find(sites[s].modules.begin(), sites[s].modules.end(), pair.module);
        if (it == sites[s].modules.end()) continue;
        const auto i = static_cast<size_t>(it - sites[s].modules.begin());
        const std::vector<int64_t> want_a{lora.rank, sites[s].in}, want_b{sites[s].out_sizes[i], lora.rank};
        if (pair.a.sizes().vec() != want_a || pair.b.sizes().vec() != want_b)
          return fail(ErrorCode::kManifestMismatch,
                      fmt::format("adapter for {}: A [{}] and B [{}], this model needs [{}] and [{}]", pair.module,
                                  fmt::join(pair.a.sizes().vec(), ", "), fmt::join(pair.b.sizes().vec(), ", "),
                                  fmt::join(want_a, ", "), fmt::join(want_b, ", ")));
        const auto wide = at::TensorOptions().dtype(wide_type(options_.compute)).device(options_.device);
        sites[s].a[i] = pair.a.detach().to(wide).clone().requires_grad_(trainable);
        sites[s].b[i] = pair.b.detach().to(wide).clone().requires_grad_(trainable);
        placed = true;
        if (!lora.dora) continue;
        if (pair.magnitude.defined() && pair.magnitude.sizes().vec() != std::vector<int64_t>{sites[s].out_sizes[i]})
          return fail(ErrorCode::kManifestMismatch,
                      fmt::format("adapter for {}: {} magnitudes, this model needs {}", pair.module,
                                  pair.magnitude.numel(), sites[s].out_sizes[i]));
        sites[s].magnitude[i] = pair.magnitude;
      }
      if (!placed)
        return fail(ErrorCode::kManifestMismatch,
                    fmt::format("adapter for {}: this model has no such linear", pair.module));
    }
    for (auto& p : parameters())
      if (!has_lora()) p.value.requires_grad_(false);
    lora_config_ = lora;
    lora_ = std::move(sites);
    for (size_t s = 0; s < lora_.size(); ++s) {
      const Linear& base = layers_[s / kSites].linears[s % kSites];
      if (lora.dora) set_magnitudes(lora_[s], base, trainable);
      if (!trainable) pack(lora_[s], base);
    }
    return {};
  });
}

void Decoder::clear_lora() { lora_.clear(); }

std::vector<LoraPair> Decoder::lora_pairs() const {
  std::vector<LoraPair> out;
  for (const auto& site : lora_)
    for (size_t i = 0; i < site.modules.size(); ++i)
      if (site.a[i].defined()) out.push_back({site.modules[i], site.a[i], site.b[i], site.magnitude[i]});
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

void Decoder::pack(Site& site, const Linear& base) const {
  if (std::none_of(site.a.begin(), site.a.end(), [](const Tensor& a) { return a.defined(); })) return;
  at::NoGradGuard no_grad;
  std::tie(site.packed_a, site.packed_b) = packed(site);
  if (lora_config_.dora) site.packed_scale = row_scale(site, base).to(options_.compute);
}

namespace {

// f(rows of the weight in `wide`, first row, rows) for rows [from, from + n), a few at a time: the weight may be
// bfloat16 or packed, sums of squares not.
template <class Linear, class F>
void over_rows(const Linear& base, int64_t from, int64_t n, at::ScalarType wide, const F& f) {
  constexpr int64_t kRows = 1024;
  for (int64_t at_row = from; at_row < from + n; at_row += kRows) {
    const int64_t count = std::min(kRows, from + n - at_row);
    f(base.packed.empty() ? base.weight.detach().narrow(0, at_row, count).to(wide)
                          : nf4_rows(base.packed, at_row, count, wide),
      at_row, count);
  }
}

}  // namespace

// Given magnitudes, or the rows' own lengths: an untrained adapter changes nothing.
void Decoder::set_magnitudes(Site& site, const Linear& base, bool trainable) const {
  if (site.modules.empty()) return;
  at::NoGradGuard no_grad;
  const auto wide = at::TensorOptions().dtype(wide_type(options_.compute)).device(options_.device);
  const int64_t n_rows = base.weight.size(0);
  site.row_squares = at::empty({n_rows}, wide);
  over_rows(base, 0, n_rows, wide_type(options_.compute), [&](const Tensor& rows, int64_t from, int64_t n) {
    site.row_squares.narrow(0, from, n).copy_(rows.square().sum(1));
  });
  int64_t from = 0;
  for (size_t i = 0; i < site.a.size(); ++i) {
    const int64_t n = site.out_sizes[i];
    if (site.a[i].defined()) {
      const Tensor given = site.magnitude[i].defined() ? site.magnitude[i].detach().to(wide)
                                                       : site.row_squares.narrow(0, from, n).sqrt();
      site.magnitude[i] = given.clone().requires_grad_(trainable);
    }
    from += n;
  }
}

// ‖w + s·b·A‖² of every row without making B·A: ‖w‖² + 2s (w·Aᵀ)·b + s² b·(A·Aᵀ)·b.
Tensor Decoder::row_scale(const Site& site, const Linear& base) const {
  std::vector<Tensor> scales;
  int64_t from = 0;
  for (size_t i = 0; i < site.a.size(); ++i) {
    const int64_t n = site.out_sizes[i];
    const Tensor squares = site.row_squares.narrow(0, from, n);
    if (!site.a[i].defined()) {
      scales.push_back(at::ones({n}, squares.options()));
    } else {
      Tensor norm;
      {
        at::NoGradGuard no_grad;
        const double s = lora_config_.scale();
        const Tensor a = site.a[i].detach(), b = site.b[i].detach(), gram = at::mm(a, a.t());
        norm = squares + s * s * (at::mm(b, gram) * b).sum(1);
        over_rows(base, from, n, a.scalar_type(), [&](const Tensor& rows, int64_t first, int64_t count) {
          const Tensor own = b.narrow(0, first - from, count);
          norm.narrow(0, first - from, count).add_((at::mm(rows, a.t()) * own).sum(1), 2 * s);
        });
        norm = norm.clamp_min(0).sqrt();
      }
      scales.push_back(site.magnitude[i] / norm);
    }
    from += n;
  }
  return at::cat(scales);
}

}  // namespace slm::nn
