#include "loop/cuda/gemm.hpp"

#include <source_location>
#include <string>

#include "core/cuda/cuda_check.hpp"
#include "klmesh/error.hpp"

namespace klmesh::loop::cuda {
namespace {

void check(cublasStatus_t status, const char* call, std::source_location where = std::source_location::current()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw CudaError(std::string(call) + " failed at " + where.file_name() + ":" + std::to_string(where.line()) + ": " +
                  cublasGetStatusString(status));
}

int blas_size(std::int64_t n) { return static_cast<int>(n); }

cublasOperation_t operation(Transpose transpose) { return transpose == Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N; }

}  // namespace

Gemm::Gemm(std::span<std::byte> workspace, StreamRef stream) : stream_(stream) {
  if (stream.is_host()) throw InvalidArgument("Gemm: a host stream");
  cublasHandle_t handle = nullptr;
  check(cublasCreate(&handle), "cublasCreate");
  handle_.reset(handle);
  check(cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH), "cublasSetMathMode");
  check(cublasSetStream(handle, klmesh::cuda::native(stream)), "cublasSetStream");
  // After the stream: setting that brings the handle's own workspace back.
  check(cublasSetWorkspace(handle, workspace.data(), workspace.size()), "cublasSetWorkspace");
}

void Gemm::multiply(Matrix<const float> a, Transpose transpose_a, Matrix<const float> b, Transpose transpose_b,
                    Matrix<float> c) {
  const std::int64_t inner = inner_size(a, transpose_a, b, transpose_b, c);
  if (c.rows == 0 || c.columns == 0) return;
  if (inner == 0) {
    klmesh::cuda::check(cudaMemset2DAsync(c.data, static_cast<std::size_t>(c.stride) * sizeof(float), 0,
                                          static_cast<std::size_t>(c.columns) * sizeof(float),
                                          static_cast<std::size_t>(c.rows), klmesh::cuda::native(stream_)),
                        "cudaMemset2DAsync");
    return;
  }
  // A row-major matrix is its own transpose in columns: c^T = op(b)^T op(a)^T.
  const float one = 1.0f, zero = 0.0f;
  check(cublasSgemm(handle_.get(), operation(transpose_b), operation(transpose_a), blas_size(c.columns),
                    blas_size(c.rows), blas_size(inner), &one, b.data, blas_size(b.stride), a.data,
                    blas_size(a.stride), &zero, c.data, blas_size(c.stride)),
        "cublasSgemm");
}

}  // namespace klmesh::loop::cuda
