#include "core/cuda/cuda_check.hpp"

#include <string>

#include "klmesh/error.hpp"

namespace klmesh::cuda {

void check(cudaError_t code, const char* call, std::source_location where) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // clears it
  throw CudaError(std::string(call) + " failed at " + where.file_name() + ":" + std::to_string(where.line()) + ": " +
                  cudaGetErrorString(code) + " (" + cudaGetErrorName(code) + ")");
}

}  // namespace klmesh::cuda
