// The passes in fp64, a warp for each slice: core and extended partials of rows of any type.
#pragma once

#include "core/cuda/extended_fp64.cuh"
#include "core/cuda/row_tile.cuh"
#include "core/cuda/slice_fp64.cuh"

namespace klmesh::cuda {

inline constexpr int kThreadsFp64 = 256;

/// What a pass makes of a slice.
struct CorePass {
  using Partial = RowPartial;
  Scales scales;
  __device__ RowPartial operator()(const SliceColumns& slice) const { return slice_fp64(slice, scales); }
};
struct ExtendedPass {
  using Partial = ExtendedPartial;
  ExtendedOptions options;
  __device__ ExtendedPartial operator()(const SliceColumns& slice) const { return extended_fp64(slice, options); }
};

__device__ inline SliceColumns slice_columns(const RowWork& work, std::int64_t row, int slice) {
  const std::int64_t begin = slice_begin(work.vocab_size, slice);
  const std::int64_t offset = begin - work.shard_begin;
  return {work.policy.row(row) + offset * work.policy.bytes,
          work.reference.row(row) + offset * work.reference.bytes,
          work.policy.dtype,
          work.reference.dtype,
          begin,
          slice_begin(work.vocab_size, slice + 1) - begin};
}

// Says what the row's target is, and its logits if this shard holds it.
__device__ inline void add_target(const RowWork& work, const Scales& scales, std::int64_t row, RowPartial& p) {
  if (work.targets == nullptr) return;
  const std::int64_t target = work.targets[row];
  const std::int64_t column = target - work.shard_begin;
  if (target < 0 || target >= work.vocab_size) {
    p.flags |= kTargetOutOfRange;
  } else if (column >= 0 && column < slice_begin(work.vocab_size, work.first_slice + work.slices) - work.shard_begin) {
    p.flags |= kHasTarget;
    p.target_policy = scales.policy * load_element<double>(work.policy.row(row), work.policy.dtype, column);
    p.target_reference = scales.reference * load_element<double>(work.reference.row(row), work.reference.dtype, column);
  }
}

/// What is written for a row, once all of its slices are folded.
__device__ inline RowPartial complete(const RowWork& work, const CorePass& pass, std::int64_t row, RowPartial p) {
  add_target(work, pass.scales, row, p);
  return p;
}
__device__ inline ExtendedPartial complete(const RowWork&, const ExtendedPass&, std::int64_t, const ExtendedPartial& p) {
  return p;
}

// Room for partials that are all written before they are read; they have constructors, shared memory has none.
template <typename Partial, int kCount>
struct SharedPartials {
  alignas(16) unsigned char bytes[kCount * sizeof(Partial)];
  __device__ Partial* data() { return reinterpret_cast<Partial*>(bytes); }
};

/// A block for each group of slices of a row.
/// @param out (rows, groups)
template <typename Pass>
__global__ void __launch_bounds__(kThreadsFp64, 2) rows_fp64(RowWork work, Pass pass, typename Pass::Partial* out) {
  using Partial = typename Pass::Partial;
  __shared__ SharedPartials<Partial, kVocabSlices> shared;
  Partial* partials = shared.data();
  const RowTile tile(work, blockIdx.x);
  Partial whole;
  if (work.counts(tile.row) && tile.slices > 0) {
    for (int slice = static_cast<int>(threadIdx.x) / 32; slice < tile.slices; slice += kThreadsFp64 / 32) {
      const Partial p = pass(slice_columns(work, tile.row, tile.first_slice + slice));
      if (threadIdx.x % 32 == 0) partials[slice] = p;
    }
    __syncthreads();
    fold_runs(partials, 1, tile.slices);
    whole = partials[0];
  }
  if (threadIdx.x != 0) return;
  out[blockIdx.x] = work.split.groups == 1 && work.counts(tile.row) ? complete(work, pass, tile.row, whole) : whole;
}

/// Folds the groups of each row: a block of one warp per row.
/// @param partials (rows, groups)
template <typename Pass>
__global__ void __launch_bounds__(32) join_groups(RowWork work, Pass pass, const typename Pass::Partial* partials,
                                                  typename Pass::Partial* out) {
  using Partial = typename Pass::Partial;
  __shared__ SharedPartials<Partial, kMaxGroups> shared;
  const std::int64_t row = blockIdx.x;
  const int groups = work.split.groups;
  if (threadIdx.x < groups) shared.data()[threadIdx.x] = partials[row * groups + threadIdx.x];
  __syncthreads();
  fold_runs(shared.data(), 1, groups);
  if (threadIdx.x != 0) return;
  out[row] = work.counts(row) ? complete(work, pass, row, shared.data()[0]) : Partial{};
}

}  // namespace klmesh::cuda
