// What every kernel file of this directory says in front of its launches.
#pragma once

#include <cstdint>

#include "core/cuda/cuda_check.hpp"

namespace klmesh::loop::cuda {

using klmesh::cuda::check_launch;
using klmesh::cuda::native;

inline constexpr int kThreads = 256;

/// Blocks of kThreads threads, one thread for each of `count` things.
inline unsigned blocks_for(std::int64_t count) { return static_cast<unsigned>((count + kThreads - 1) / kThreads); }

/// Index of this thread among all of a one-dimensional launch.
__device__ inline std::int64_t thread_index() {
  return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

}  // namespace klmesh::loop::cuda
