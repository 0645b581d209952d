#include "loop/host/gemm.hpp"

#include <cblas.h>

namespace klmesh::loop {
namespace {

CBLAS_TRANSPOSE operation(Transpose transpose) { return transpose == Transpose::yes ? CblasTrans : CblasNoTrans; }

}  // namespace

void multiply(Matrix<const float> a, Transpose transpose_a, Matrix<const float> b, Transpose transpose_b,
              Matrix<float> c) {
  static const bool single_threaded = (openblas_set_num_threads(1), true);
  static_cast<void>(single_threaded);
  const std::int64_t inner = inner_size(a, transpose_a, b, transpose_b, c);
  if (c.rows == 0 || c.columns == 0) return;
  const auto blas = [](std::int64_t n) { return static_cast<blasint>(n); };
  cblas_sgemm(CblasRowMajor, operation(transpose_a), operation(transpose_b), blas(c.rows),
              blas(c.columns), blas(inner), 1.0f, a.data, blas(a.stride), b.data, blas(b.stride), 0.0f,
              c.data, blas(c.stride));
}

}  // namespace klmesh::loop
