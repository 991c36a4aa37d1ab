// Spherical k-means: greedy k-means++ seeds, Lloyd iterations in faiss, and a local search that moves single points.
//
// Shapes: points [N, E], rows of length 1 (or zero); centroids [K, E], rows of length 1.
// Errors: kBadInput when k is 0 or more than the distinct points, naming both; kUnexpected when faiss throws;
// kInterrupted,
//   looked for at every seed, some iterations, every pass and every round.
// Threads: faiss uses OpenMP threads; the result is the same for any number of them.
// Source: Arthur, Vassilvitskii 2007 (k-means++; the greedy variant tries several candidates a seed, as scikit-learn's
//   2 + ln k); Dhillon, Guan, Kogan 2002 (first variation: the local search); faiss 1.7.3 Clustering.h.
#pragma once

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "embed/sparse.h"

namespace slm::cluster {

// kInterrupted when the interrupt flag is set: what the long loops of this room look at.
Status keep_going();

struct KMeansOptions {
  size_t k = 2;
  uint64_t seed = 1;
  int n_runs = 5;         // the best objective of so many seedings
  int n_iterations = 50;  // Lloyd, each run
  int n_passes = 20;      // local search over the best run, at most; 0 = none
  // Labels of an earlier clustering of these points, all below k: one more run starts from them, and is taken unless
  // another is better by a hundredth, so that a refit changes no more than it must.
  const std::vector<uint32_t>* earlier = nullptr;
};

struct KMeansResult {
  std::vector<uint32_t> labels;  // [N], every one of 0..K-1 at least once
  embed::DenseMatrix centroids;
  double objective = 0;  // Σ cosine of a point to its centroid
};

Result<KMeansResult> spherical_kmeans(const embed::DenseMatrix& points, const KMeansOptions& options);

// Rows that differ in some bit.
size_t count_distinct(const embed::DenseMatrix& points);
// Mean directions of the labelled points; a label without points gets a zero row.
embed::DenseMatrix mean_directions(const embed::DenseMatrix& points, const std::vector<uint32_t>& labels, size_t k);
// Nearest centroid of each point by inner product (lowest index on ties), and that product.
struct Nearest {
  std::vector<uint32_t> labels;
  std::vector<float> similarities;
};
Nearest nearest_centroids(const embed::DenseMatrix& points, const embed::DenseMatrix& centroids);
// Gives every empty label the point that fits its own centroid worst, from labels that can spare one; returns how many
// there were. Centroids of the labels concerned are updated.
size_t fill_empty(const embed::DenseMatrix& points, Nearest& nearest, embed::DenseMatrix& centroids);

// Every point moved half way (by `weight`) to the similarity-weighted mean of its nearest neighbours, `rounds` times:
// short texts say little by themselves, and their neighbours say more. For discovery only.
struct SmoothOptions {
  int n_neighbours = 5;
  float weight = 0.5f;
  int rounds = 2;
};
Result<embed::DenseMatrix> smooth_by_neighbours(embed::DenseMatrix points, const SmoothOptions& options);

}  // namespace slm::cluster
