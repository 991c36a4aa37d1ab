#include "embed/svd.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/progress.h"
#include "core/random.h"
#include "embed/simd.h"

namespace slm::embed {

namespace {

// YᵀY [W, W] in double: sums in float would hide directions whose singular value is a thousandth of the first.
std::vector<double> gram(const DenseMatrix& y) {
  constexpr size_t kBlock = 512;
  const size_t width = y.n_columns;
  std::vector<double> out(width * width, 0.0);
  std::vector<double> block(width * kBlock);
  for (size_t begin = 0; begin < y.n_rows; begin += kBlock) {
    const size_t rows = std::min(kBlock, y.n_rows - begin);
    for (size_t r = 0; r < rows; ++r)
      for (size_t i = 0; i < width; ++i) block[i * rows + r] = y.row(begin + r)[i];
#pragma omp parallel
    {
      std::vector<double> sums(width);
#pragma omp for schedule(dynamic, 8)
      for (int64_t k = 0; k < static_cast<int64_t>(width); ++k) {
        const auto i = static_cast<size_t>(k);
        simd::dots(block.data() + i * rows, block.data() + i * rows, width - i, rows, sums.data());
        for (size_t j = i; j < width; ++j) out[i * width + j] += sums[j - i];
      }
    }
  }
  for (size_t i = 0; i < width; ++i)
    for (size_t j = 0; j < i; ++j) out[i * width + j] = out[j * width + i];
  return out;
}

// Upper triangular R with RᵀR = G. A direction already spanned gets a zero on the diagonal.
std::vector<double> cholesky(std::vector<double> g, size_t width) {
  constexpr double kDependent = 1e-12;  // of the column's own squared length: float precision squared, with room
  std::vector<double> scale(width);
  for (size_t i = 0; i < width; ++i) scale[i] = g[i * width + i];
  for (size_t i = 0; i < width; ++i) {
    double* row = g.data() + i * width;
    const double pivot = row[i];
    if (!(pivot > kDependent * scale[i]) || !(scale[i] > 0)) {
      std::fill(row + i, row + width, 0.0);
      continue;
    }
    const double root = std::sqrt(pivot);
    for (size_t j = i; j < width; ++j) row[j] /= root;
    for (size_t k = i + 1; k < width; ++k) {
      const double factor = row[k];
      double* below = g.data() + k * width;
      for (size_t j = k; j < width; ++j) below[j] -= factor * row[j];
    }
  }
  return g;
}

}  // namespace

void orthonormalise(DenseMatrix& y) {
  const size_t width = y.n_columns;
  const auto r = cholesky(gram(y), width);
  DenseMatrix upper(width, width);
  for (size_t i = 0; i < width; ++i)
    for (size_t j = i; j < width; ++j) upper.row(i)[j] = static_cast<float>(r[i * width + j]);
#pragma omp parallel for schedule(static)
  for (int64_t k = 0; k < static_cast<int64_t>(y.n_rows); ++k) {
    float* row = y.row(static_cast<size_t>(k));
    for (size_t i = 0; i < width; ++i) {
      const float diagonal = upper.row(i)[i];
      row[i] = diagonal > 0 ? row[i] / diagonal : 0.0f;
      if (row[i] != 0) simd::add_scaled(row + i + 1, upper.row(i) + i + 1, -row[i], width - i - 1);
    }
  }
}

Eigen symmetric_eigen(std::vector<double> a, size_t width) {
  // Cyclic Jacobi: slow and exact, for widths of a few hundred. vectors holds eigenvectors as rows while it runs.
  std::vector<double> vectors(width * width, 0.0);
  for (size_t i = 0; i < width; ++i) vectors[i * width + i] = 1.0;
  double total = 0;
  for (const double x : a) total += x * x;
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0;
    for (size_t i = 0; i < width; ++i)
      for (size_t j = i + 1; j < width; ++j) off += a[i * width + j] * a[i * width + j];
    if (off <= 1e-26 * total) break;
    for (size_t p = 0; p < width; ++p)
      for (size_t q = p + 1; q < width; ++q) {
        const double apq = a[p * width + q];
        if (apq == 0) continue;
        const double app = a[p * width + p], aqq = a[q * width + q];
        const double theta = (aqq - app) / (2 * apq);
        const double t = (theta >= 0 ? 1.0 : -1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        double* row_p = a.data() + p * width;
        double* row_q = a.data() + q * width;
        for (size_t i = 0; i < width; ++i) {
          const double x = row_p[i], y = row_q[i];
          row_p[i] = c * x - s * y;
          row_q[i] = s * x + c * y;
        }
        // The rows are right now, save in columns p and q; columns p and q of the other rows are the rows, by symmetry.
        row_p[p] = app - t * apq;
        row_q[q] = aqq + t * apq;
        row_p[q] = row_q[p] = 0;
        for (size_t i = 0; i < width; ++i) {
          if (i == p || i == q) continue;
          a[i * width + p] = row_p[i];
          a[i * width + q] = row_q[i];
        }
        double* v_p = vectors.data() + p * width;
        double* v_q = vectors.data() + q * width;
        for (size_t i = 0; i < width; ++i) {
          const double x = v_p[i], y = v_q[i];
          v_p[i] = c * x - s * y;
          v_q[i] = s * x + c * y;
        }
      }
  }
  std::vector<size_t> order(width);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) { return a[x * width + x] > a[y * width + y]; });
  Eigen out;
  out.values.resize(width);
  out.vectors.resize(width * width);
  for (size_t j = 0; j < width; ++j) {
    out.values[j] = a[order[j] * width + order[j]];
    for (size_t i = 0; i < width; ++i) out.vectors[i * width + j] = vectors[order[j] * width + i];
  }
  return out;
}

Result<TruncatedSvd> truncated_svd(const SparseMatrix& a, const SvdOptions& options) {
  TruncatedSvd out;
  const size_t width = std::min({options.rank + options.n_oversamples, a.n_rows(), a.n_columns});
  out.components = DenseMatrix(a.n_columns, 0);
  if (width == 0 || options.rank == 0) return out;
  const SparseMatrix at = a.transposed();
  Prng prng(options.seed);
  DenseMatrix q(a.n_rows(), width);
  for (auto& value : q.values) value = static_cast<float>(prng.normal());
  for (int i = 0; i < options.n_iterations; ++i) {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted while fitting the text vectors");
    q = multiply(a, multiply(at, q));
    orthonormalise(q);
  }
  orthonormalise(q);
  // Bᵀ = AᵀQ [V, W]; B = U Σ Cᵀ through the eigenvectors of B Bᵀ [W, W].
  const DenseMatrix bt = multiply(at, q);
  const auto eigen = symmetric_eigen(gram(bt), width);
  size_t rank = 0;
  while (rank < std::min(options.rank, width) && eigen.values[rank] > 1e-8 * eigen.values[0] && eigen.values[rank] > 0)
    ++rank;
  for (size_t j = 0; j < rank; ++j) out.singular_values.push_back(std::sqrt(eigen.values[j]));
  DenseMatrix rotation(width, rank);
  for (size_t i = 0; i < width; ++i)
    for (size_t j = 0; j < rank; ++j)
      rotation.row(i)[j] = static_cast<float>(eigen.vectors[i * width + j] / out.singular_values[j]);
  out.components = DenseMatrix(a.n_columns, rank);
#pragma omp parallel for schedule(static)
  for (int64_t k = 0; k < static_cast<int64_t>(a.n_columns); ++k) {
    const auto row = static_cast<size_t>(k);
    for (size_t i = 0; i < width; ++i) simd::add_scaled(out.components.row(row), rotation.row(i), bt.row(row)[i], rank);
  }
  return out;
}

}  // namespace slm::embed
