#include "loop/gemm.hpp"

#include <cblas.h>

#include "klmesh/error.hpp"

namespace klmesh::loop {

void multiply(Matrix<const float> a, Transpose transpose_a, Matrix<const float> b, Transpose transpose_b,
              Matrix<float> c) {
  static const bool single_threaded = (openblas_set_num_threads(1), true);
  static_cast<void>(single_threaded);
  const bool ta = transpose_a == Transpose::yes;
  const bool tb = transpose_b == Transpose::yes;
  const std::int64_t inner = ta ? a.rows : a.columns;
  if ((ta ? a.columns : a.rows) != c.rows || (tb ? b.rows : b.columns) != c.columns ||
      (tb ? b.columns : b.rows) != inner) {
    throw InvalidArgument("multiply: the shapes of the matrices do not fit");
  }
  if (c.rows == 0 || c.columns == 0) return;
  const auto blas = [](std::int64_t n) { return static_cast<blasint>(n); };
  cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, blas(c.rows),
              blas(c.columns), blas(inner), 1.0f, a.data, blas(a.stride), b.data, blas(b.stride), 0.0f,
              c.data, blas(c.stride));
}

}  // namespace klmesh::loop
