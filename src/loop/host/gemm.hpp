// Single-threaded matrix products in fixed shapes: the bits of a product depend on its shape and contents
// alone.
#pragma once

#include "loop/matrix.hpp"

namespace klmesh::loop {

/// c = op(a) op(b). Threads of the BLAS are switched off for the process at the first call: with threads, the
/// split of the sums would depend on their number.
/// @throws InvalidArgument if the shapes do not fit
void multiply(Matrix<const float> a, Transpose transpose_a, Matrix<const float> b, Transpose transpose_b,
              Matrix<float> c);

}  // namespace klmesh::loop
