#include "cluster/kmeans.h"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "core/progress.h"
#include "core/random.h"
#include "embed/simd.h"
#include "embed/text_embedder.h"

namespace slm::cluster {

namespace {

using embed::DenseMatrix;
namespace simd = embed::simd;

constexpr float kSamePoint = 1e-6f;  // cosine distances below are rounding

std::string_view row_bytes(const DenseMatrix& m, size_t i) {
  return {reinterpret_cast<const char*>(m.row(i)), m.n_columns * sizeof(float)};
}

// Distance of every point to one of them, lowered into `least`; returns the new sum. `least` may be null: sum only.
double lower_distances(const DenseMatrix& points, size_t to, const std::vector<float>& current,
                       std::vector<float>* least) {
  const size_t n = points.n_rows;
  constexpr size_t kBlock = 256;
  double total = 0;
  float products[kBlock];
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t rows = std::min(kBlock, n - begin);
    simd::dots(points.row(to), points.row(begin), rows, points.n_columns, products);
    for (size_t i = 0; i < rows; ++i) {
      float distance = 1.0f - products[i];
      if (distance < kSamePoint) distance = 0;
      distance = std::min(distance, current[begin + i]);
      if (least) (*least)[begin + i] = distance;
      total += distance;
    }
  }
  return total;
}

// A point drawn with probability proportional to its distance; N if all distances are zero.
size_t draw(const std::vector<float>& distances, double total, Prng& prng) {
  double left = prng.uniform() * total;
  size_t last = distances.size();
  for (size_t i = 0; i < distances.size(); ++i) {
    if (distances[i] <= 0) continue;
    last = i;
    left -= distances[i];
    if (left < 0) break;
  }
  return last;
}

// Indices of K seeds, all different points.
Result<std::vector<size_t>> greedy_seeds(const DenseMatrix& points, size_t k, Prng& prng) {
  const size_t n = points.n_rows;
  const int n_candidates = 2 + static_cast<int>(std::log(static_cast<double>(k)));
  std::vector<size_t> seeds = {static_cast<size_t>(prng.below(n))};
  std::vector<float> distances(n, std::numeric_limits<float>::max());
  double total = lower_distances(points, seeds[0], distances, &distances);
  while (seeds.size() < k) {
    if (total <= 0) break;
    SLM_CHECK(keep_going());
    std::vector<size_t> candidates;
    for (int c = 0; c < n_candidates; ++c) candidates.push_back(draw(distances, total, prng));
    std::vector<double> sums(candidates.size());
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t c = 0; c < static_cast<int64_t>(candidates.size()); ++c)
      sums[static_cast<size_t>(c)] = lower_distances(points, candidates[static_cast<size_t>(c)], distances, nullptr);
    const auto best = static_cast<size_t>(std::min_element(sums.begin(), sums.end()) - sums.begin());
    seeds.push_back(candidates[best]);
    total = lower_distances(points, candidates[best], distances, &distances);
  }
  // What is left differs from a seed by rounding only: any points that differ at all.
  std::unordered_set<std::string_view> taken;
  for (const size_t seed : seeds) taken.insert(row_bytes(points, seed));
  for (size_t i = 0; i < n && seeds.size() < k; ++i)
    if (taken.insert(row_bytes(points, i)).second) seeds.push_back(i);
  return seeds;
}

DenseMatrix rows_of(const DenseMatrix& points, const std::vector<size_t>& rows) {
  DenseMatrix out(rows.size(), points.n_columns);
  for (size_t i = 0; i < rows.size(); ++i) std::copy_n(points.row(rows[i]), points.n_columns, out.row(i));
  return out;
}

// Lloyd's iterations from the seeds, by faiss.
Result<DenseMatrix> lloyd(const DenseMatrix& points, DenseMatrix centroids, int n_iterations) {
  const size_t width = points.n_columns, k = centroids.n_rows;
  if (k == points.n_rows) return centroids;
  try {
    faiss::ClusteringParameters parameters;
    parameters.spherical = true;
    parameters.min_points_per_centroid = 1;
    parameters.max_points_per_centroid = std::numeric_limits<int>::max() / static_cast<int>(k);
    faiss::Clustering clustering(static_cast<int>(width), static_cast<int>(k), parameters);
    clustering.centroids = centroids.values;
    faiss::IndexFlatIP index(static_cast<int64_t>(width));
    // In slices, since faiss 1.7 doesn't stop when nothing changes any more.
    constexpr int kSlice = 5;
    double before = -1;
    for (int done = 0; done < n_iterations; done += kSlice) {
      SLM_CHECK(keep_going());
      clustering.niter = std::min(kSlice, n_iterations - done);
      clustering.train(static_cast<int64_t>(points.n_rows), points.values.data(), index);
      const double objective = clustering.iteration_stats.back().obj;
      if (objective <= before * (1 + 1e-6)) break;
      before = objective;
    }
    centroids.values = clustering.centroids;
  } catch (const std::exception&) {
    return fail(ErrorCode::kUnexpected, fmt::format("faiss failed to cluster {} points into {}", points.n_rows, k));
  }
  return centroids;
}

// First variation: moves one point at a time wherever that raises Σ |sum of a cluster's points|.
Status local_search(const DenseMatrix& points, std::vector<uint32_t>& labels, size_t k, int n_passes) {
  const size_t n = points.n_rows, width = points.n_columns;
  DenseMatrix sums(k, width);
  std::vector<size_t> sizes(k, 0);
  for (size_t i = 0; i < n; ++i) simd::add_scaled(sums.row(labels[i]), points.row(i), 1.0f, width), ++sizes[labels[i]];
  std::vector<double> squares(k);
  std::vector<float> products(k);
  for (int pass = 0; pass < n_passes; ++pass) {
    SLM_CHECK(keep_going());
    for (size_t c = 0; c < k; ++c) squares[c] = simd::dot(sums.row(c), sums.row(c), width);
    size_t n_moved = 0;
    for (size_t i = 0; i < n; ++i) {
      const uint32_t from = labels[i];
      if (sizes[from] <= 1) continue;
      const float* x = points.row(i);
      simd::dots(x, sums.values.data(), k, width, products.data());
      const double own = simd::dot(x, x, width);
      const double loss =
          std::sqrt(squares[from]) - std::sqrt(std::max(0.0, squares[from] - 2.0 * products[from] + own));
      double best = loss + 1e-6;  // more than rounding
      uint32_t to = from;
      for (uint32_t c = 0; c < k; ++c) {
        if (c == from) continue;
        const double gain = std::sqrt(std::max(0.0, squares[c] + 2.0 * products[c] + own)) - std::sqrt(squares[c]);
        if (gain > best) best = gain, to = c;
      }
      if (to == from) continue;
      simd::add_scaled(sums.row(to), x, 1.0f, width);
      simd::add_scaled(sums.row(from), x, -1.0f, width);
      squares[to] += 2.0 * products[to] + own;
      squares[from] = std::max(0.0, squares[from] - 2.0 * products[from] + own);
      ++sizes[to];
      --sizes[from];
      labels[i] = to;
      ++n_moved;
    }
    if (n_moved == 0) break;
  }
  return {};
}

}  // namespace

Status keep_going() {
  if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted; the earlier task map stays", "slmconv cluster");
  return {};
}

size_t count_distinct(const DenseMatrix& points) {
  std::unordered_set<std::string_view> seen;
  for (size_t i = 0; i < points.n_rows; ++i) seen.insert(row_bytes(points, i));
  return seen.size();
}

DenseMatrix mean_directions(const DenseMatrix& points, const std::vector<uint32_t>& labels, size_t k) {
  DenseMatrix out(k, points.n_columns);
  for (size_t i = 0; i < points.n_rows; ++i)
    simd::add_scaled(out.row(labels[i]), points.row(i), 1.0f, points.n_columns);
  for (size_t c = 0; c < k; ++c) embed::normalise(out.row(c), out.n_columns);
  return out;
}

Nearest nearest_centroids(const DenseMatrix& points, const DenseMatrix& centroids) {
  Nearest out;
  out.labels.resize(points.n_rows);
  out.similarities.resize(points.n_rows);
#pragma omp parallel
  {
    std::vector<float> products(centroids.n_rows);
#pragma omp for schedule(static)
    for (int64_t k = 0; k < static_cast<int64_t>(points.n_rows); ++k) {
      const auto i = static_cast<size_t>(k);
      simd::dots(points.row(i), centroids.values.data(), centroids.n_rows, points.n_columns, products.data());
      const auto best = static_cast<size_t>(std::max_element(products.begin(), products.end()) - products.begin());
      out.labels[i] = static_cast<uint32_t>(best);
      out.similarities[i] = products[best];
    }
  }
  return out;
}

size_t fill_empty(const DenseMatrix& points, Nearest& nearest, DenseMatrix& centroids) {
  std::vector<size_t> sizes(centroids.n_rows, 0);
  for (const auto label : nearest.labels) ++sizes[label];
  size_t n_filled = 0;
  for (size_t c = 0; c < centroids.n_rows; ++c) {
    if (sizes[c] > 0) continue;
    size_t worst = points.n_rows;
    for (size_t i = 0; i < points.n_rows; ++i)
      if (sizes[nearest.labels[i]] > 1 &&
          (worst == points.n_rows || nearest.similarities[i] < nearest.similarities[worst]))
        worst = i;
    if (worst == points.n_rows) break;
    --sizes[nearest.labels[worst]];
    nearest.labels[worst] = static_cast<uint32_t>(c);
    nearest.similarities[worst] = simd::dot(points.row(worst), points.row(worst), points.n_columns);
    sizes[c] = 1;
    std::copy_n(points.row(worst), points.n_columns, centroids.row(c));
    ++n_filled;
  }
  return n_filled;
}

Result<KMeansResult> spherical_kmeans(const DenseMatrix& points, const KMeansOptions& options) {
  const size_t n_distinct = count_distinct(points);
  if (options.k == 0 || options.k > n_distinct)
    return fail(ErrorCode::kBadInput, fmt::format("k = {} clusters of {} distinct points: need 1 ≤ k ≤ {}", options.k,
                                                  n_distinct, n_distinct));
  KMeansResult best;
  best.objective = -1;
  const auto run = [&](DenseMatrix seeds) -> Result<KMeansResult> {
    SLM_TRY(auto centroids, lloyd(points, std::move(seeds), options.n_iterations));
    auto nearest = nearest_centroids(points, centroids);
    fill_empty(points, nearest, centroids);
    double objective = 0;
    for (const float similarity : nearest.similarities) objective += similarity;
    return KMeansResult{std::move(nearest.labels), std::move(centroids), objective};
  };
  Prng prng(options.seed);
  for (int i = 0; i < std::max(1, options.n_runs); ++i) {
    SLM_TRY(const auto seeds, greedy_seeds(points, options.k, prng));
    SLM_TRY(auto result, run(rows_of(points, seeds)));
    if (result.objective > best.objective) best = std::move(result);
  }
  if (options.earlier != nullptr) {
    SLM_TRY(auto result, run(mean_directions(points, *options.earlier, options.k)));
    if (result.objective * 1.01 >= best.objective) best = std::move(result);
  }
  if (options.n_passes > 0) {
    SLM_CHECK(local_search(points, best.labels, options.k, options.n_passes));
    best.centroids = mean_directions(points, best.labels, options.k);
    best.objective = 0;
    for (size_t i = 0; i < points.n_rows; ++i)
      best.objective += simd::dot(points.row(i), best.centroids.row(best.labels[i]), points.n_columns);
  }
  return best;
}

Result<DenseMatrix> smooth_by_neighbours(DenseMatrix points, const SmoothOptions& options) {
  const size_t n = points.n_rows, width = points.n_columns;
  const auto wanted = static_cast<int64_t>(std::min<size_t>(n, static_cast<size_t>(options.n_neighbours) + 1));
  if (wanted < 2) return points;
  std::vector<float> similarities(n * static_cast<size_t>(wanted));
  std::vector<int64_t> indices(n * static_cast<size_t>(wanted));
  for (int round = 0; round < options.rounds; ++round) {
    SLM_CHECK(keep_going());
    try {
      faiss::IndexFlatIP index(static_cast<int64_t>(width));
      index.add(static_cast<int64_t>(n), points.values.data());
      index.search(static_cast<int64_t>(n), points.values.data(), wanted, similarities.data(), indices.data());
    } catch (const std::exception&) {
      return fail(ErrorCode::kUnexpected, fmt::format("faiss failed to search neighbours among {} points", n));
    }
    DenseMatrix next(n, width);
#pragma omp parallel
    {
      std::vector<float> mean(width);
#pragma omp for schedule(static)
      for (int64_t k = 0; k < static_cast<int64_t>(n); ++k) {
        const auto i = static_cast<size_t>(k);
        std::fill(mean.begin(), mean.end(), 0.0f);
        int n_used = 0;
        for (int64_t j = 0; j < wanted && n_used < options.n_neighbours; ++j) {
          const auto at = i * static_cast<size_t>(wanted) + static_cast<size_t>(j);
          if (indices[at] < 0 || indices[at] == k) continue;
          ++n_used;
          if (similarities[at] > 0)
            simd::add_scaled(mean.data(), points.row(static_cast<size_t>(indices[at])), similarities[at], width);
        }
        embed::normalise(mean.data(), width);
        simd::add_scaled(next.row(i), points.row(i), 1.0f - options.weight, width);
        simd::add_scaled(next.row(i), mean.data(), options.weight, width);
        embed::normalise(next.row(i), width);
      }
    }
    points = std::move(next);
  }
  return points;
}

}  // namespace slm::cluster
