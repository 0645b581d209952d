// Row-major matrix products by cuBLAS.
#pragma once

#include <cublas_v2.h>

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

#include "klmesh/stream.hpp"
#include "loop/matrix.hpp"

namespace klmesh::loop::cuda {

/// A cuBLAS handle on the current device, bound to one stream. Move-only.
///
/// fp32 throughout: no TF32. One stream, and a workspace that is always the same: equal calls give equal bits on equal
/// GPUs, and nothing is allocated by a call.
class Gemm {
 public:
  /// What cuBLAS recommends for the largest of the supported architectures.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  /// @param workspace (kWorkspaceBytes) device memory; must outlive this
  /// @throws CudaError; InvalidArgument for a host stream
  Gemm(std::span<std::byte> workspace, StreamRef stream);

  /// c = op(a) op(b), enqueued.
  ///
  /// Whole matrices, in whatever tiles cuBLAS takes: unlike the host's products in fixed shapes, results depend on the
  /// shapes in their last places, so on the mesh.
  /// @throws InvalidArgument if the shapes do not fit
  void multiply(Matrix<const float> a, Transpose transpose_a, Matrix<const float> b, Transpose transpose_b,
                Matrix<float> c);

 private:
  struct Destroy {
    void operator()(cublasHandle_t handle) const noexcept { static_cast<void>(cublasDestroy(handle)); }
  };

  StreamRef stream_;
  std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, Destroy> handle_;
};

}  // namespace klmesh::loop::cuda
