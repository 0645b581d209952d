// A borrowed row-major matrix, in memory of any kind.
#pragma once

#include <cstdint>

#include "klmesh/error.hpp"

namespace klmesh::loop {

/// T may be const.
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

/// How many products an element of c = op(a) op(b) is a sum of.
/// @throws InvalidArgument if the shapes do not fit
inline std::int64_t inner_size(Matrix<const float> a, Transpose transpose_a, Matrix<const float> b,
                               Transpose transpose_b, Matrix<float> c) {
  const bool ta = transpose_a == Transpose::yes;
  const bool tb = transpose_b == Transpose::yes;
  const std::int64_t inner = ta ? a.rows : a.columns;
  if ((ta ? a.columns : a.rows) != c.rows || (tb ? b.rows : b.columns) != c.columns ||
      (tb ? b.columns : b.rows) != inner) {
    throw InvalidArgument("multiply: the shapes of the matrices do not fit");
  }
  return inner;
}

}  // namespace klmesh::loop
