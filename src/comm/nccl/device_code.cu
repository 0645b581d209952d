#include "comm/nccl/device_code.hpp"

#include "core/cuda/cuda_check.hpp"

namespace klmesh::comm {
namespace {

// Compiled for the same architectures as all others.
__global__ void probe_kernel() {}

// What CUDA answers where neither machine code nor PTX of the build is of use.
bool says_no_code(cudaError_t code) {
  return code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction ||
         code == cudaErrorUnsupportedPtxVersion || code == cudaErrorInvalidKernelImage;
}

}  // namespace

bool has_code_for_device() {
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&probe_kernel));
  if (says_no_code(code)) {
    static_cast<void>(cudaGetLastError());  // stays the last error otherwise
    return false;
  }
  cuda::check(code, "cudaFuncGetAttributes");
  return true;
}

}  // namespace klmesh::comm
