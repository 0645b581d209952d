// Reductions over a whole warp, in a fixed order: the same value, with the same bits, in every lane.
#pragma once

namespace klmesh::cuda {

inline constexpr unsigned kFullWarp = 0xffffffffu;

__device__ inline double warp_sum(double x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kFullWarp, x, step);
  return x;
}

__device__ inline double warp_max(double x) {
  for (int step = 16; step > 0; step /= 2) x = fmax(x, __shfl_xor_sync(kFullWarp, x, step));
  return x;
}

}  // namespace klmesh::cuda
