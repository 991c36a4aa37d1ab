#include "embed/sparse.h"

#include "embed/simd.h"

namespace slm::embed {

void SparseMatrix::add_row(const SparseRow& row) {
  columns.insert(columns.end(), row.columns.begin(), row.columns.end());
  values.insert(values.end(), row.values.begin(), row.values.end());
  row_begin.push_back(columns.size());
}

SparseMatrix SparseMatrix::transposed() const {
  SparseMatrix out;
  out.n_columns = n_rows();
  out.row_begin.assign(n_columns + 1, 0);
  for (const auto column : columns) ++out.row_begin[column + 1];
  for (size_t i = 0; i < n_columns; ++i) out.row_begin[i + 1] += out.row_begin[i];
  out.columns.resize(columns.size());
  out.values.resize(values.size());
  std::vector<uint64_t> next(out.row_begin.begin(), out.row_begin.end() - 1);
  for (size_t i = 0; i < n_rows(); ++i)
    for (uint64_t j = row_begin[i]; j < row_begin[i + 1]; ++j) {
      const uint64_t at = next[columns[j]]++;
      out.columns[at] = static_cast<uint32_t>(i);
      out.values[at] = values[j];
    }
  return out;
}

DenseMatrix multiply(const SparseMatrix& a, const DenseMatrix& b) {
  DenseMatrix out(a.n_rows(), b.n_columns);
  const auto n = static_cast<int64_t>(a.n_rows());
#pragma omp parallel for schedule(dynamic, 64)
  for (int64_t i = 0; i < n; ++i) {
    float* row = out.row(static_cast<size_t>(i));
    for (uint64_t j = a.row_begin[static_cast<size_t>(i)]; j < a.row_begin[static_cast<size_t>(i) + 1]; ++j)
      simd::add_scaled(row, b.row(a.columns[j]), a.values[j], b.n_columns);
  }
  return out;
}

void add_weighted_rows(const SparseRow& row, const DenseMatrix& b, float* out) {
  for (size_t j = 0; j < row.columns.size(); ++j)
    simd::add_scaled(out, b.row(row.columns[j]), row.values[j], b.n_columns);
}

}  // namespace slm::embed
