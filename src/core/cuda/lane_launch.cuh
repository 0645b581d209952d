// How the kernels of one form of lanes are launched.
#pragma once

#include <algorithm>

#include "core/cuda/cuda_check.hpp"
#include "core/cuda/lane_launch.hpp"
#include "core/cuda/rows_fp32.cuh"

namespace klmesh::cuda {

// Blocks that look for flagged rows: what a GPU holds at a time, about.
inline constexpr unsigned kResolveBlocks = 264;

template <typename Form>
void launch_lanes(const RowWork& work, const Scales& scales, RowPartial* out, RowPartial* groups, cudaStream_t stream) {
  const LanePass pass(CorePass{scales});
  const auto rows = static_cast<unsigned>(work.rows);
  const bool split = work.split.groups > 1;
  const std::int64_t tiles = (work.rows + work.rows_per_tile - 1) / work.rows_per_tile;
  const int runs = (std::min(work.slices, work.split.slices_per_group) << work.log_runs) * work.rows_per_tile;
  // Whole warps: eight runs each.
  const int threads = std::min(kThreadsFp32, std::max(1, (runs * kRunLanes + 31) / 32) * 32);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(work.split.groups));
  rows_fp32<Form><<<grid, static_cast<unsigned>(threads), 0, stream>>>(work, pass, split ? groups : out);
  check_launch("rows_fp32");
  if (split) {
    join_groups<<<rows, 32, 0, stream>>>(work, pass.core, groups, out);
    check_launch("join_groups");
  }
  resolve_rows<Form><<<std::min(rows, kResolveBlocks), kThreadsFp32, 0, stream>>>(work, pass, out);
  check_launch("resolve_rows");
}

template <DType kType>
LaneLaunch* lanes_of_type(Scaling scaling) {
  if (scaling == Scaling::none) return launch_lanes<LaneForm<kType, kType, Scaling::none>>;
  if (scaling == Scaling::equal) return launch_lanes<LaneForm<kType, kType, Scaling::equal>>;
  return launch_lanes<LaneForm<kType, kType, Scaling::unequal>>;
}

}  // namespace klmesh::cuda
