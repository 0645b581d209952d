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

/// Everything a pass over rows knows of its data. Pointers are to device memory.
struct RowWork {
  Side policy, reference;
  const std::uint8_t* mask;     // (rows) or null
  const std::int64_t* targets;  // (rows) or null
  std::int64_t rows;
  std::int64_t vocab_size, shard_begin;
  int first_slice, slices;      // of the shard
  RowGroups split;
  int runs_per_slice;           // of the fp32 pass, see run_partial.cuh
  int rows_per_tile;            // of the fp32 pass: more than 1 where a row is less than a block's work

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
/// the first of each receives the result. Called by a whole block.
template <typename Partial>
__device__ void fold_runs(Partial* partials, int runs, int count) {
  for (int step = 1; step < count; step *= 2) {
    const int pairs = (count + step - 1) / (2 * step);  // in which both sides exist
    for (int i = static_cast<int>(threadIdx.x); i < runs * pairs; i += static_cast<int>(blockDim.x)) {
      Partial* left = partials + (i / pairs) * count + (i % pairs) * 2 * step;
      *left = merge(*left, left[step]);
    }
    __syncthreads();
  }
}

}  // namespace klmesh::cuda
