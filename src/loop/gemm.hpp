// Single-threaded matrix products in fixed shapes: the bits of a product depend on its shape and contents
// alone.
#pragma once

#include <cstdint>

namespace klmesh::loop {

/// A borrowed row-major matrix. T may be const.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::int64_t rows = 0;     ///< as stored
  std::int64_t columns = 0;  ///< as stored
  std::int64_t stride = 0;   ///< elements from one row to the next

  Matrix<T> row_block(std::int64_t first, std::int64_t count) const {
    return {data + first * stride, count, columns, stride};
  }
  Matrix<T> column_block(std::int64_t first, std::int64_t count) const {
    return {data + first, rows, count, stride};
  }
};

enum class Transpose { no, yes };

/// c = op(a) op(b). Threads of the BLAS are switched off for the process at the first call: with threads, the
/// split of the sums would depend on their number.
/// @throws InvalidArgument if the shapes do not fit
void multiply(Matrix<const float> a, Transpose transpose_a, Matrix<const float> b, Transpose transpose_b,
              Matrix<float> c);

}  // namespace klmesh::loop
