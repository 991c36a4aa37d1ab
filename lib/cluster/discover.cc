#include "cluster/discover.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/hash.h"
#include "embed/simd.h"
#include "embed/text_embedder.h"

namespace slm::cluster {

namespace {

using embed::DenseMatrix;
using Members = std::vector<uint32_t>;  // indices of calls, ascending

constexpr double kSplitShare = 0.05;    // of a group that a label, template or action must have to stand alone
constexpr double kToolShare = 0.02;     // the same for a tool: its calls are alike
constexpr double kTemplateCover = 0.6;  // of a group that repeated openings must cover to be templates
constexpr double kLoopSpread = 0.7;     // a group is a loop if no turn number has more than this share
constexpr double kSameTask = 0.8;       // cosine of over-clustered parts that are one task
constexpr double kLeastRecall = 0.4;    // of a task's calls that its own centroid must win back

size_t least_calls(size_t n) { return std::max<size_t>(10, n / 200); }

// Splits `members` by a key; parts smaller than `least` are left out. Ordered by first member.
template <class Key>
std::vector<Members> split_by(const Members& members, size_t least, Key&& key) {
  std::map<decltype(key(uint32_t{})), Members> parts;
  for (const auto i : members) parts[key(i)].push_back(i);
  std::vector<Members> out;
  for (auto& [name, part] : parts)
    if (part.size() >= least) out.push_back(std::move(part));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.front() < b.front(); });
  return out;
}

size_t part_size(const Members& group, double share, size_t least) {
  return std::max(least, static_cast<size_t>(std::ceil(share * static_cast<double>(group.size()))));
}

bool is_loop(const Members& group, const std::vector<const RequestText*>& requests) {
  std::map<int, size_t> turns;
  for (const auto i : group) ++turns[requests[i]->n_turns];
  size_t most = 0;
  for (const auto& [turn, n] : turns) most = std::max(most, n);
  return static_cast<double>(most) <= kLoopSpread * static_cast<double>(group.size());
}

// One coordinate an action that a share of the calls has; scaled so that the whole has length 1 beside the request.
DenseMatrix with_actions(const DenseMatrix& points, const std::vector<std::string>& actions, float weight) {
  std::vector<std::vector<WeightedToken>> tokens;
  std::vector<const std::vector<WeightedToken>*> pointers;
  tokens.reserve(actions.size());
  for (const auto& action : actions) tokens.push_back({{fnv1a(action), 1.0f}});
  for (const auto& token : tokens) pointers.push_back(&token);
  const auto table = TokenTable::fit(pointers);
  if (table.width() == 0) return points;
  DenseMatrix out(points.n_rows, points.n_columns + table.width());
  for (size_t i = 0; i < points.n_rows; ++i) {
    float* row = out.row(i);
    std::copy_n(points.row(i), points.n_columns, row);
    for (size_t j = 0; j < points.n_columns; ++j) row[j] *= std::sqrt(1 - weight);
    table.embed(tokens[i], row + points.n_columns);
    for (size_t j = points.n_columns; j < out.n_columns; ++j) row[j] *= std::sqrt(weight);
    embed::normalise(row, out.n_columns);
  }
  return out;
}

DenseMatrix rows_of(const DenseMatrix& points, const Members& group) {
  DenseMatrix out(group.size(), points.n_columns);
  for (size_t i = 0; i < group.size(); ++i) std::copy_n(points.row(group[i]), points.n_columns, out.row(i));
  return out;
}

// Clusters a group by request and action into options.k parts at most.
Result<std::vector<Members>> by_action(const Members& group, const std::vector<std::string>& actions,
                                       const DenseMatrix& points, const DiscoverOptions& options) {
  std::vector<std::string> own_actions;
  for (const auto i : group) own_actions.push_back(actions[i]);
  SLM_TRY(const auto joint,
          smooth_by_neighbours(with_actions(rows_of(points, group), own_actions, options.action_weight), {}));
  KMeansOptions kmeans;
  kmeans.k = std::min(options.k, count_distinct(joint));
  kmeans.seed = options.seed;
  SLM_TRY(const auto found, spherical_kmeans(joint, kmeans));
  std::vector<Members> parts(kmeans.k);
  for (size_t i = 0; i < group.size(); ++i) parts[found.labels[i]].push_back(group[i]);
  return parts;
}

// Over-clusters a group without instruction, drops clusters below the average size, joins those that are alike.
Result<std::vector<Members>> by_text(const Members& group, const DenseMatrix& points, uint64_t seed) {
  const DenseMatrix own = rows_of(points, group);
  const size_t k = std::min({count_distinct(own), std::max<size_t>(2, group.size() / 15), size_t{300}});
  KMeansOptions options;
  options.k = k;
  options.seed = seed;
  options.n_runs = 2;
  SLM_TRY(const auto smooth, smooth_by_neighbours(own, {}));
  options.k = std::min(k, count_distinct(smooth));
  SLM_TRY(const auto found, spherical_kmeans(smooth, options));
  std::vector<Members> parts(options.k);
  for (size_t i = 0; i < group.size(); ++i) parts[found.labels[i]].push_back(group[i]);
  const auto centroids = mean_directions(own, found.labels, options.k);
  const double average = static_cast<double>(group.size()) / static_cast<double>(options.k);
  // Join by single linkage among the kept, the largest pairs of cosine first.
  std::vector<size_t> kept;
  for (size_t c = 0; c < options.k; ++c)
    if (static_cast<double>(parts[c].size()) >= average) kept.push_back(c);
  std::vector<size_t> root(kept.size());
  for (size_t i = 0; i < kept.size(); ++i) root[i] = i;
  const auto find_root = [&](size_t i) {
    while (root[i] != i) i = root[i] = root[root[i]];
    return i;
  };
  for (size_t i = 0; i < kept.size(); ++i)
    for (size_t j = i + 1; j < kept.size(); ++j)
      if (embed::simd::dot(centroids.row(kept[i]), centroids.row(kept[j]), points.n_columns) >= kSameTask)
        root[find_root(j)] = find_root(i);
  std::map<size_t, Members> joined;
  for (size_t i = 0; i < kept.size(); ++i) {
    auto& part = joined[find_root(i)];
    part.insert(part.end(), parts[kept[i]].begin(), parts[kept[i]].end());
  }
  std::vector<Members> out;
  for (auto& [key, part] : joined) {
    std::sort(part.begin(), part.end());
    out.push_back(std::move(part));
  }
  return out;
}

Discovery refit(const DenseMatrix& points, const std::vector<uint32_t>& labels, size_t k) {
  Discovery out;
  out.centroids = mean_directions(points, labels, k);
  auto nearest = nearest_centroids(points, out.centroids);
  out.labels = std::move(nearest.labels);
  out.similarities = std::move(nearest.similarities);
  return out;
}

Result<Discovery> discover_k(const DenseMatrix& points, const std::vector<std::string>& actions,
                             const DiscoverOptions& options) {
  const size_t n_distinct = count_distinct(points);
  if (options.k > n_distinct)
    return fail(ErrorCode::kBadInput,
                fmt::format("--k {} asks for more tasks than there are distinct requests: {} of {} calls", options.k,
                            n_distinct, points.n_rows),
                fmt::format("slmconv cluster --k {}", n_distinct));
  SLM_TRY(auto joint, smooth_by_neighbours(with_actions(points, actions, options.action_weight), {}));
  // Smoothing may make different points equal; then they are clustered as they are.
  if (count_distinct(joint) < options.k) joint = points;
  KMeansOptions kmeans;
  kmeans.k = options.k;
  kmeans.seed = options.seed;
  kmeans.earlier = options.earlier;
  SLM_TRY(const auto found, spherical_kmeans(joint, kmeans));
  auto out = refit(points, found.labels, options.k);
  // A task that only its action told apart may be left without a request: its centroid moves to the worst-fitting call.
  for (size_t round = 0; round < options.k + 20; ++round) {
    SLM_CHECK(keep_going());
    Nearest nearest{out.labels, out.similarities};
    if (fill_empty(points, nearest, out.centroids) == 0) return out;
    nearest = nearest_centroids(points, out.centroids);
    out.labels = std::move(nearest.labels);
    out.similarities = std::move(nearest.similarities);
  }
  return fail(ErrorCode::kBadInput, fmt::format("requests don't tell {} tasks apart", options.k),
              fmt::format("slmconv cluster --k {}", std::max<size_t>(1, options.k / 2)));
}

// Drops the task that wins back the smallest share of its own calls until all win back enough, or have few.
Result<Discovery> keep_told_apart(const DenseMatrix& points, std::vector<uint32_t> labels, size_t k) {
  const size_t least = least_calls(points.n_rows);
  while (true) {
    SLM_CHECK(keep_going());
    // Calls of no group go where they are nearest, and don't shape the centroids.
    DenseMatrix centroids(k, points.n_columns);
    for (size_t i = 0; i < points.n_rows; ++i)
      if (labels[i] != kNoGroup)
        embed::simd::add_scaled(centroids.row(labels[i]), points.row(i), 1.0f, points.n_columns);
    for (size_t c = 0; c < k; ++c) embed::normalise(centroids.row(c), points.n_columns);
    auto nearest = nearest_centroids(points, centroids);
    std::vector<double> own(k, 0), size(k, 0), won(k, 0);
    for (size_t i = 0; i < points.n_rows; ++i) {
      ++won[nearest.labels[i]];
      if (labels[i] == kNoGroup) continue;
      ++size[labels[i]];
      own[labels[i]] += nearest.labels[i] == labels[i];
    }
    size_t worst = k;
    double worst_score = kLeastRecall;
    for (size_t c = 0; c < k; ++c) {
      const double recall = size[c] > 0 ? own[c] / size[c] : 0;
      const double precision = won[c] > 0 ? own[c] / won[c] : 0;
      const double score = won[c] < static_cast<double>(least) / 2 ? 0.0 : std::min(recall, precision);
      if (score < worst_score) worst = c, worst_score = score;
    }
    if (worst == k || k == 1) {
      Discovery out;
      out.centroids = std::move(centroids);
      out.labels = std::move(nearest.labels);
      out.similarities = std::move(nearest.similarities);
      return out;
    }
    // Its calls join the task that is nearest to it.
    size_t to = k;
    float best = -2;
    for (size_t c = 0; c < k; ++c) {
      if (c == worst) continue;
      const float similarity = embed::simd::dot(centroids.row(c), centroids.row(worst), points.n_columns);
      if (similarity > best) best = similarity, to = c;
    }
    for (auto& label : labels) {
      if (label == kNoGroup) continue;
      if (label == worst) label = static_cast<uint32_t>(to);
      if (label > worst) --label;
    }
    --k;
  }
}

}  // namespace

Result<std::vector<uint32_t>> choose_groups(const std::vector<const RequestText*>& requests,
                                            const std::vector<std::string>& actions, const DenseMatrix& points,
                                            const DiscoverOptions& options) {
  const size_t n = requests.size(), least = least_calls(n);
  Members all(n);
  for (uint32_t i = 0; i < n; ++i) all[i] = i;

  // By instruction; what has a rare one by label.
  std::vector<Members> groups;
  std::vector<uint8_t> placed(n, 0);
  for (auto& group : split_by(all, least, [&](uint32_t i) { return requests[i]->instruction; })) {
    for (const auto i : group) placed[i] = 1;
    Members labelled;
    std::copy_if(group.begin(), group.end(), std::back_inserter(labelled),
                 [&](uint32_t i) { return requests[i]->site != 0; });
    auto sites =
        split_by(labelled, part_size(group, kSplitShare, least), [&](uint32_t i) { return requests[i]->site; });
    if (sites.size() > 1)
      for (auto& site : sites) groups.push_back(std::move(site));
    else
      groups.push_back(std::move(group));
  }
  Members rest;
  for (const auto i : all)
    if (!placed[i] && requests[i]->site != 0) rest.push_back(i);
  for (auto& site : split_by(rest, least, [&](uint32_t i) { return requests[i]->site; })) {
    for (const auto i : site) placed[i] = 1;
    groups.push_back(std::move(site));
  }
  // Rare instructions without a label: if they are many, they are one group, told apart by their text.
  rest.clear();
  for (const auto i : all)
    if (!placed[i]) rest.push_back(i);
  if (static_cast<double>(rest.size()) >=
      std::max<double>(static_cast<double>(least), kSplitShare * static_cast<double>(n))) {
    SLM_TRY(auto parts, by_text(rest, points, options.seed));
    for (auto& part : parts)
      if (part.size() >= least) groups.push_back(std::move(part));
  }

  std::vector<Members> tasks;
  for (auto& group : groups) {
    if (is_loop(group, requests)) {
      const auto frequent =
          split_by(group, part_size(group, kToolShare, least), [&](uint32_t i) { return actions[i]; });
      if (frequent.size() > 1) {
        SLM_TRY(auto parts,
                by_action(group, actions, points, {frequent.size(), options.seed, nullptr, options.action_weight}));
        for (auto& part : parts)
          if (part.size() >= least) tasks.push_back(std::move(part));
        continue;
      }
    }
    Members opened;
    std::copy_if(group.begin(), group.end(), std::back_inserter(opened),
                 [&](uint32_t i) { return requests[i]->head != 0; });
    auto templates =
        split_by(opened, part_size(group, kSplitShare, least), [&](uint32_t i) { return requests[i]->head; });
    size_t covered = 0;
    for (const auto& part : templates) covered += part.size();
    if (templates.size() > 1 && static_cast<double>(covered) >= kTemplateCover * static_cast<double>(group.size())) {
      for (auto& part : templates) tasks.push_back(std::move(part));
      continue;
    }
    if (!requests[group.front()]->has_instruction) {
      SLM_TRY(auto parts, by_text(group, points, options.seed));
      for (auto& part : parts)
        if (part.size() >= least) tasks.push_back(std::move(part));
      continue;
    }
    tasks.push_back(std::move(group));
  }
  if (tasks.empty()) tasks.push_back(std::move(all));
  std::vector<uint32_t> labels(n, kNoGroup);
  for (uint32_t t = 0; t < tasks.size(); ++t)
    for (const auto i : tasks[t]) labels[i] = t;
  return labels;
}

Result<Discovery> discover(const std::vector<const RequestText*>& requests, const std::vector<std::string>& actions,
                           const DenseMatrix& points, const DiscoverOptions& options) {
  if (points.n_rows == 0) return fail(ErrorCode::kBadInput, "there are no calls to find tasks in");
  if (points.n_columns == 0 && options.k <= 1) {  // all requests are alike
    return Discovery{DenseMatrix(1, 0), std::vector<uint32_t>(points.n_rows, 0),
                     std::vector<float>(points.n_rows, 0.0f)};
  }
  if (options.k > 0) return discover_k(points, actions, options);
  SLM_TRY(auto labels, choose_groups(requests, actions, points, options));
  uint32_t k = 0;
  for (const auto label : labels)
    if (label != kNoGroup) k = std::max(k, label + 1);
  return keep_told_apart(points, std::move(labels), k);
}

}  // namespace slm::cluster
