// Whether a stream is at work, or being captured.
#pragma once

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_check.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::comm {

/// True while what comes on `stream` becomes part of a graph, and nothing of it runs.
inline bool is_capturing(StreamRef stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cuda::check(cudaStreamIsCapturing(cuda::native(stream), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace klmesh::comm
