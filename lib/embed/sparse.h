// Sparse matrices in row form, and the two products that the truncated SVD needs.
//
// Shapes: A is [N, V] sparse; dense matrices are row-major.
// Threads: the products share rows out over OpenMP threads; every output row is summed in one fixed order, so the
//   result is the same for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace slm::embed {

// One document: columns ascending.
struct SparseRow {
  std::vector<uint32_t> columns;
  std::vector<float> values;
};

struct SparseMatrix {
  size_t n_columns = 0;
  std::vector<uint64_t> row_begin = {0};  // [N + 1]
  std::vector<uint32_t> columns;
  std::vector<float> values;

  size_t n_rows() const { return row_begin.size() - 1; }
  void add_row(const SparseRow& row);
  SparseMatrix transposed() const;
};

// Dense [rows, columns], row-major.
struct DenseMatrix {
  size_t n_rows = 0, n_columns = 0;
  std::vector<float> values;

  DenseMatrix() = default;
  DenseMatrix(size_t rows, size_t columns) : n_rows(rows), n_columns(columns), values(rows * columns) {}
  float* row(size_t i) { return values.data() + i * n_columns; }
  const float* row(size_t i) const { return values.data() + i * n_columns; }
};

// A [N, V] · B [V, W] → [N, W].
DenseMatrix multiply(const SparseMatrix& a, const DenseMatrix& b);
// out [W] += Σ values[j] · B[columns[j]].
void add_weighted_rows(const SparseRow& row, const DenseMatrix& b, float* out);

}  // namespace slm::embed
