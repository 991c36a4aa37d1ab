// Permanent task ids over refits: which task of the new map is which of the old one, by the calls they share.
//
// Source: the matching is greedy by Jaccard similarity, each side once, as in tracking evolving clusters (Greene,
// Doyle,
//   Cunningham 2010), threshold 0.3.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace slm::cluster {

struct Lineage {
  struct Origin {
    int32_t old_task = -1;    // index of the old task it continues; -1: new
    int32_t split_from = -1;  // new, but most of its calls were of this old task, which another one continues
  };
  struct Fate {
    int32_t new_task = -1;     // index of the new task that continues it; -1: gone
    int32_t merged_into = -1;  // gone, but most of its calls are now of this new task
  };
  std::vector<Origin> origins;  // by new task
  std::vector<Fate> fates;      // by old task
};

// old_labels, new_labels: of the same calls, indices below n_old and n_new; kNoOldTask for a call that was an outlier
// of the old map, so that what is really new isn't taken for a split of the task it was nearest to.
inline constexpr uint32_t kNoOldTask = UINT32_MAX;
Lineage trace_lineage(const std::vector<uint32_t>& old_labels, size_t n_old, const std::vector<uint32_t>& new_labels,
                      size_t n_new);

}  // namespace slm::cluster
