// Finding the tasks in a sample of calls: groups of calls by request and action, then centroids by request alone.
//
// Shapes: points [N, D] request vectors (cluster/features.h); centroids [K, D].
// Errors: kBadInput when k exceeds the distinct requests, naming both; kInterrupted.
// Source: the rules of choose_groups are ours, after: exact templates first (Drain's idea), over-cluster and drop the
//   small (DeepAligned's estimate of k).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/features.h"
#include "cluster/kmeans.h"

namespace slm::cluster {

struct DiscoverOptions {
  size_t k = 0;  // 0: chosen by the rules below
  uint64_t seed = 1;
  const std::vector<uint32_t>* earlier = nullptr;  // labels by an earlier map of k tasks; see KMeansOptions
  float action_weight = 0.5f;  // share of the squared length that the answer's action has in discovery
};

struct Discovery {
  embed::DenseMatrix centroids;  // request-only, length 1
  std::vector<uint32_t> labels;  // nearest centroid of each point: what assign would say
  std::vector<float> similarities;
};

// k given: spherical k-means over requests and actions, then centroids from requests. Every task gets a call.
// k = 0: choose_groups, then the same refit; groups that no request tells apart are joined.
Result<Discovery> discover(const std::vector<const RequestText*>& requests, const std::vector<std::string>& actions,
                           const embed::DenseMatrix& points, const DiscoverOptions& options);

// The rule of `--k auto`. A group = calls of one instruction (system-prompt template and tools), split by call-site
// label where one instruction serves several labels; calls whose instruction is rare go by their label. Then, a group
//  - of an agent loop (calls at many different turns) is clustered by request and action, into as many parts as it has
//    frequent actions (each tool, JSON, text);
//  - whose openings repeat a few templates word for word is split by template;
//  - with no instruction at all is over-clustered by text, and clusters below the average size are dropped.
// Parts of less than max(10, 0.5 %) of the calls make no task of their own: those calls get the label of no group.
inline constexpr uint32_t kNoGroup = UINT32_MAX;
Result<std::vector<uint32_t>> choose_groups(const std::vector<const RequestText*>& requests,
                                            const std::vector<std::string>& actions, const embed::DenseMatrix& points,
                                            const DiscoverOptions& options);

}  // namespace slm::cluster
