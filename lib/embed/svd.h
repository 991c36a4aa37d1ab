// Truncated singular value decomposition of a sparse matrix by random projection, and a small symmetric eigenproblem.
//
// Shapes: A [N, V] sparse ≈ U [N, E] · diag(σ) · Cᵀ, C [V, E].
// Errors: kInterrupted, looked for at every iteration.
// Threads: uses OpenMP threads; the same bits for any number of them.
// Source: Halko, Martinsson, Tropp, "Finding structure with randomness" (2011), algorithms 4.4 and 5.1, with A·Aᵀ
//   iterated on the side of the rows and Gram-Cholesky as the orthonormalisation (Yamamoto et al. 2015, twice at the
//   end).
#pragma once

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "embed/sparse.h"

namespace slm::embed {

struct SvdOptions {
  size_t rank = 200;  // E, at most; fewer where A has fewer directions
  size_t n_oversamples = 10;
  int n_iterations = 5;
  uint64_t seed = 1;
};

struct TruncatedSvd {
  std::vector<double> singular_values;  // [E], descending, all > 0
  DenseMatrix components;               // C [V, E]: columns are right singular vectors
};
Result<TruncatedSvd> truncated_svd(const SparseMatrix& a, const SvdOptions& options);

// Makes the columns of y [N, W] orthonormal in place. A column that depends on earlier ones becomes zero.
void orthonormalise(DenseMatrix& y);

// Eigenvalues (descending) and eigenvectors (columns of `vectors`, [W, W] row-major) of a symmetric matrix [W, W].
struct Eigen {
  std::vector<double> values, vectors;
};
Eigen symmetric_eigen(std::vector<double> matrix, size_t width);

}  // namespace slm::embed
