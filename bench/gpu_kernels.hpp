// The kernels that read logits, timed beside a device copy, and checked against the CPU's.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "gpu_pool.hpp"
#include "interleaved.hpp"

namespace klmesh::bench {

/// What is timed, in turn: a copy of one side, the core pass, core and extended pass, the second stage, the gradient.
inline constexpr std::array<const char*, 5> kGpuPieces = {"device copy", "row_partials", "row_partials, extended",
                                                          "second_stage", "gradient"};
/// Bytes moved for each pair, in elements: read and written.
inline constexpr std::array<int, 5> kElementsMoved = {2, 2, 4, 2, 3};

struct GpuKernelTimes {
  std::int64_t rows = 0;
  std::array<Spread, 5> seconds;  ///< between events, over the rounds
  int errors = 0;                 ///< rows that are not the CPU's
};

/// Runs the kernels on `rows` rows of the pool: a round to warm up and to check, then `rounds` to time.
GpuKernelTimes time_gpu_kernels(GpuPool& pool, std::int64_t rows, int rounds);

}  // namespace klmesh::bench
