#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace slm::model {

int32_t best_of(std::span<const float> logits) {
  int32_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i)
    if (!std::isnan(logits[i]) && (best < 0 || logits[i] > logits[static_cast<size_t>(best)]))
      best = static_cast<int32_t>(i);
  return best;
}

std::vector<Candidate> candidates(std::span<const float> logits, const Sampling& sampling) {
  std::vector<Candidate> out;
  const int32_t best = best_of(logits);
  if (best < 0) return out;
  const double top = logits[static_cast<size_t>(best)];
  float least = -std::numeric_limits<float>::infinity();
  if (sampling.top_k > 0) {
    std::vector<float> sorted;
    for (const float logit : logits)
      if (!std::isnan(logit)) sorted.push_back(logit);
    if (const auto k = static_cast<size_t>(sampling.top_k); k < sorted.size()) {
      std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(k) - 1, sorted.end(),
                       std::greater<>());
      least = sorted[k - 1];
    }
  }
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] < least) continue;
    out.push_back({static_cast<int32_t>(i), std::exp((logits[i] - top) / sampling.temperature)});
    total += out.back().probability;
  }
  if (sampling.top_p < 1) {
    std::stable_sort(out.begin(), out.end(),
                     [](const Candidate& a, const Candidate& b) { return a.probability > b.probability; });
    const double wanted = sampling.top_p * total;
    size_t n = 0;
    double mass = 0;
    while (n < out.size() && (n == 0 || mass < wanted)) mass += out[n++].probability;
    out.resize(n);
    total = mass;
    std::sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  }
  for (Candidate& candidate : out) candidate.probability /= total;
  return out;
}

int32_t choose(std::span<const float> logits, const Sampling& sampling, Prng& random) {
  if (sampling.temperature <= 0) return best_of(logits);
  const auto all = candidates(logits, sampling);
  if (all.empty()) return -1;
  double left = random.uniform();
  for (const Candidate& candidate : all)
    if ((left -= candidate.probability) < 0) return candidate.id;
  return best_of(logits);
}

}  // namespace slm::model
