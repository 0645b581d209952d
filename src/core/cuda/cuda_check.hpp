// Every CUDA return code is checked, by a function that knows where it was called.
#pragma once

#include <cuda_runtime_api.h>

#include <source_location>

#include "klmesh/stream.hpp"

namespace klmesh::cuda {

/// @throws CudaError that names the call, the place and CUDA's own words, unless `code` is cudaSuccess. The error is
/// cleared first, so that it is not reported a second time by the next call (an error of the device itself stays).
void check(cudaError_t code, const char* call, std::source_location where = std::source_location::current());

/// What a kernel launch without return code left behind. @param kernel its name, for the message
inline void check_launch(const char* kernel, std::source_location where = std::source_location::current()) {
  check(cudaGetLastError(), kernel, where);
}

inline cudaStream_t native(StreamRef stream) noexcept { return static_cast<cudaStream_t>(stream.get()); }

}  // namespace klmesh::cuda
