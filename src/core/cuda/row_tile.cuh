// How a shard's rows are laid over blocks, and how the partials of slices become those of rows.
#pragma once

#include <cstdint>

#include "core/cuda/columns.cuh"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::cuda {

/// Where rows are few, each is split into groups of consecutive slices, a block each. A group is a whole subtree of the
/// slice tree, so that the same merges are made, whatever the number of groups.
struct RowGroups {
  int groups;            ///< per row
  int slices_per_group;  ///< a power of two
};

/// A run is what four lanes of the fp32 pass take: a slice, or an equal part of a long one.
inline constexpr int kRunLanes = 4;
/// Columns of a run at most, unless the vocabulary is beyond all measure: what fp32 sums of a lane stand.
inline constexpr std::int64_t kRunColumns = 1200;
inline constexpr int kMaxRunsPerSlice = 64;

/// A power of two, so that the runs of a slice are a subtree of the fold.
__host__ __device__ constexpr int runs_per_slice(std::int64_t vocab_size) {
  int runs = 1;
  while (runs < kMaxRunsPerSlice && vocab_size > runs * kRunColumns * kVocabSlices) runs *= 2;
  return runs;
}

inline constexpr int kThreadsFp32 = 256;
/// Of a block of kThreadsFp32 threads. Where a block has less to do it is smaller, so that more of them fit beside it.
inline constexpr int kRunsAtATime = kThreadsFp32 / kRunLanes;

inline constexpr int kMaxGroups = 8;
/// Blocks from which on no row is split: several for each multiprocessor of any GPU.
inline constexpr std::int64_t kEnoughBlocks = 512;

inline RowGroups row_groups(std::int64_t rows, int slices) {
  RowGroups g{1, kVocabSlices};
  while (g.slices_per_group > kVocabSlices / kMaxGroups && rows * g.groups < kEnoughBlocks) {
    g.slices_per_group /= 2;
    g.groups = slices == 0 ? 1 : (slices + g.slices_per_group - 1) / g.slices_per_group;
  }
  return g;
}

/// Rows that a block of the fp32 pass takes, where one is less than its work: fewer where that leaves blocks too few.
/// @param runs of a row
inline int rows_per_tile(std::int64_t rows, int runs) {
  int tile = 1;
  while (2 * tile * runs <= kRunsAtATime && rows >= 2 * tile * kEnoughBlocks) tile *= 2;
  return tile;
}

/// Everything a pass over rows knows of its data. Pointers are to device memory.
struct RowWork {
  Side policy, reference;
  const std::uint8_t* mask;     // (rows) or null
  const std::int64_t* targets;  // (rows) or null
  std::int64_t rows;
  std::int64_t vocab_size, shard_begin;
  int first_slice, slices;      // of the shard
  RowGroups split;
  int log_runs;                 // of a slice, of the fp32 pass: see runs_per_slice()
  int rows_per_tile;            // of the fp32 pass: more than 1 where a row is less than a block's work

  /// The first column of a slice, as slice_begin() has it. Columns are 31 bits: partials name them so. slice x vocab_size
  /// is not; what 1024 leaves of it is taken apart.
  __device__ int first_column(int slice) const {
    const int columns = static_cast<int>(vocab_size);
    const int boundary = slice * (columns >> 10) + ((slice * (columns & 1023) + 512) >> 10);
    return slice < kVocabSlices ? static_cast<int>(min(static_cast<unsigned>(boundary) * 16u, static_cast<unsigned>(columns))) : columns;
  }
  __device__ bool counts(std::int64_t row) const { return mask == nullptr || mask[row] != 0; }
};

/// The slices of one row that a block has.
struct RowTile {
  std::int64_t row;
  int first_slice, slices;

  __device__ RowTile(const RowWork& work, std::int64_t block) : row(block / work.split.groups) {
    const int skip = static_cast<int>(block % work.split.groups) * work.split.slices_per_group;
    first_slice = work.first_slice + skip;
    slices = min(work.split.slices_per_group, work.slices - skip);
  }
};

/// Folds runs of `count` partials along the slice tree: `runs` of them one after the other, in shared or global memory,
/// the first of each receives the result. Called by one whole warp, which alone sees it before the next barrier.
template <typename Partial>
__device__ void fold_in_warp(Partial* partials, int runs, int count) {
  int log_pairs = count > 1 ? 31 - __clz(count - 1) : 0;  // of a run: a power of two, of which some may lack a side
  for (int step = 1; step < count; step *= 2, --log_pairs) {
    for (int i = static_cast<int>(threadIdx.x) % 32; i < runs << log_pairs; i += 32) {
      const int run = i >> log_pairs;
      const int left = (i - (run << log_pairs)) * 2 * step;
      Partial* at = partials + run * count + left;
      if (left + step < count) *at = merge(*at, at[step]);
    }
    __syncwarp();
  }
}

/// The same, called by a whole block. Runs go to warps in turn.
template <typename Partial>
__device__ void fold_runs(Partial* partials, int runs, int count) {
  const int warps = static_cast<int>(blockDim.x) / 32;
  const int per_warp = (runs + warps - 1) / warps;
  const int first = static_cast<int>(threadIdx.x) / 32 * per_warp;
  if (first < runs) fold_in_warp(partials + first * count, min(per_warp, runs - first), count);
  __syncthreads();
}

}  // namespace klmesh::cuda
