#include "cluster/lineage.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace slm::cluster {

Lineage trace_lineage(const std::vector<uint32_t>& old_labels, size_t n_old, const std::vector<uint32_t>& new_labels,
                      size_t n_new) {
  constexpr double kLeastJaccard = 0.3;
  constexpr double kMost = 0.5;
  std::map<std::pair<uint32_t, uint32_t>, double> shared;
  std::vector<double> old_size(n_old, 0), new_size(n_new, 0);
  for (size_t i = 0; i < old_labels.size(); ++i) {
    new_size[new_labels[i]] += 1;
    if (old_labels[i] == kNoOldTask) continue;
    shared[{old_labels[i], new_labels[i]}] += 1;
    old_size[old_labels[i]] += 1;
  }
  std::vector<std::tuple<double, uint32_t, uint32_t>> pairs;  // −Jaccard, old, new
  for (const auto& [pair, n] : shared)
    pairs.emplace_back(-n / (old_size[pair.first] + new_size[pair.second] - n), pair.first, pair.second);
  std::sort(pairs.begin(), pairs.end());
  Lineage out;
  out.origins.resize(n_new);
  out.fates.resize(n_old);
  for (const auto& [jaccard, a, b] : pairs) {
    if (-jaccard < kLeastJaccard) break;
    if (out.fates[a].new_task >= 0 || out.origins[b].old_task >= 0) continue;
    out.fates[a].new_task = static_cast<int32_t>(b);
    out.origins[b].old_task = static_cast<int32_t>(a);
  }
  for (const auto& [pair, n] : shared) {
    const auto [a, b] = pair;
    if (out.origins[b].old_task < 0 && out.fates[a].new_task >= 0 && n >= kMost * new_size[b])
      out.origins[b].split_from = static_cast<int32_t>(a);
    if (out.fates[a].new_task < 0 && n >= kMost * old_size[a]) out.fates[a].merged_into = static_cast<int32_t>(b);
  }
  return out;
}

}  // namespace slm::cluster
