// The core pass over f32, f16 and bf16 rows of scale 1: four lanes a run, 64 runs a block at a time.
#pragma once

#include "core/cuda/row_tile.cuh"
#include "core/cuda/rows_fp64.cuh"
#include "core/cuda/run_partial.cuh"

namespace klmesh::cuda {

inline constexpr int kThreadsFp32 = 256;
inline constexpr int kRunsAtATime = kThreadsFp32 / kRunLanes;

/// Consecutive slices of consecutive rows: of one row any number; of several, as many as make kRunsAtATime runs.
struct RunTile {
  std::int64_t first_row;
  int rows;
  int first_slice;
  int runs;  // of a row, in this tile
};

struct RunSums {
  LaneSums lanes[kRunLanes];
  unsigned padding[4];  // so that threads that read a run each meet different banks
};

struct RunTileMemory {
  RunSums sums[kRunsAtATime];
  SharedPartials<RowPartial, kRunsAtATime> partials;
  SharedPartials<RowPartial, kMaxRunsPerSlice> batches;  // each of kRunsAtATime runs of a long row
  float pivots[kRunsAtATime];
  unsigned char again[kRunsAtATime];
};

// The columns of a run, as the fp64 functions take them.
__device__ inline SliceColumns run_columns(const RowWork& work, const RunTile& tile, int item) {
  SliceColumns columns = slice_columns(work, tile.first_row + item / tile.runs,
                                       tile.first_slice + item % tile.runs / work.runs_per_slice);
  const int run = item % tile.runs % work.runs_per_slice;
  const std::int64_t begin = run_begin(columns.columns, run, work.runs_per_slice);
  columns.columns = run_begin(columns.columns, run + 1, work.runs_per_slice) - begin;
  columns.begin += begin;
  columns.policy += begin * work.policy.bytes;
  columns.reference += begin * work.reference.bytes;
  return columns;
}

__device__ inline RunColumns run_of(const RowWork& work, const RunTile& tile, int item, int items) {
  if (item >= items || !work.counts(tile.first_row + item / tile.runs)) return {};
  const SliceColumns columns = run_columns(work, tile, item);
  return {columns.policy, columns.reference, alignment_of(columns.policy), alignment_of(columns.reference),
          static_cast<int>(columns.columns)};
}

// Partials of kRunsAtATime runs from `first` on, each in fp32, at most twice: with the pivot that was guessed, and with
// the one that the sums call for.
template <DType kType>
__device__ void sum_runs(const RowWork& work, const RunTile& tile, int first, int items, RunTileMemory& memory) {
  const int lane = static_cast<int>(threadIdx.x) % kRunLanes;
  const int slot = static_cast<int>(threadIdx.x) / kRunLanes;
  RowPartial* partials = memory.partials.data();
#pragma unroll 1
  for (int attempt = 0; attempt < 2; ++attempt) {
    const bool mine = attempt == 0 || memory.again[slot];
    const RunColumns run = run_of(work, tile, first + slot, mine ? items : 0);
    const float pivot = attempt == 0 ? guess_pivot<kType>(run, lane) : mine ? memory.pivots[slot] : 0.0f;
    if (attempt == 0 && lane == 0) memory.pivots[slot] = pivot;
    const LaneSums sums = sum_run<kType>(run, lane, pivot);
    if (mine) memory.sums[slot].lanes[lane] = sums;
    __syncthreads();
    bool redo = false;
    const auto i = static_cast<int>(threadIdx.x);
    if (i < kRunsAtATime && (attempt == 0 || memory.again[i])) {
      RowPartial p = partial_of_lanes(memory.sums[i].lanes, memory.pivots[i]);
      if ((p.flags & kPolicyHasMass) != 0 && !pivot_accepted(p)) {
        redo = attempt == 0 && pivot_near(p);
        if (redo) memory.pivots[i] = static_cast<float>(p.pivot + log1p(p.M / p.S));
        p = RowPartial{};
        p.flags = kUnresolved;
      }
      partials[i] = p;
    }
    if (i < kRunsAtATime) memory.again[i] = redo;
    if (!__syncthreads_or(redo)) break;
  }
}

// What fp32 could not do, a warp for each run.
__device__ inline void resolve_runs(const RowWork& work, const Scales& scales, const RunTile& tile, int first, int items,
                                    RowPartial* partials) {
  for (int i = static_cast<int>(threadIdx.x) / 32; i < kRunsAtATime && first + i < items; i += kThreadsFp32 / 32) {
    if ((partials[i].flags & kUnresolved) == 0) continue;
    const RowPartial p = slice_fp64(run_columns(work, tile, first + i), scales);
    if (threadIdx.x % 32 == 0) partials[i] = p;
  }
  __syncthreads();
}

/// Folded partials of a tile's rows, in shared memory. Called by a whole block.
template <DType kType, bool kResolve>
__device__ RowPartial* fold_tile(const RowWork& work, const Scales& scales, const RunTile& tile, RunTileMemory& memory) {
  RowPartial* partials = memory.partials.data();
  RowPartial* batches = memory.batches.data();
  const int items = tile.rows * tile.runs;
  int batch = 0;
  for (int first = 0; first < items; first += kRunsAtATime, ++batch) {
    sum_runs<kType>(work, tile, first, items, memory);
    if constexpr (kResolve) resolve_runs(work, scales, tile, first, items, partials);
    fold_runs(partials, tile.rows, min(tile.runs, items - first));
    if (threadIdx.x == 0) batches[batch] = partials[0];
    __syncthreads();
  }
  if (batch == 1) return partials;
  fold_runs(batches, 1, batch);
  return batches;
}

/// Blocks of a multiprocessor: as many as leave the registers for the fp64 algebra between the loops.
template <DType kType>
inline constexpr int kBlocksPerSm = kType == DType::f32 ? 2 : 3;

/// A block for each tile. Rows that fp32 cannot do are flagged kUnresolved.
/// @param out (rows, groups)
template <DType kType>
__global__ void __launch_bounds__(kThreadsFp32, kBlocksPerSm<kType>) rows_fp32(RowWork work, CorePass pass, RowPartial* out) {
  __shared__ RunTileMemory memory;
  const std::int64_t first_row = blockIdx.x / work.split.groups * work.rows_per_tile;
  const int group = static_cast<int>(blockIdx.x % work.split.groups);
  const int skip = group * work.split.slices_per_group;
  const int slices = min(work.split.slices_per_group, work.slices - skip);
  const int rows = static_cast<int>(min(static_cast<std::int64_t>(work.rows_per_tile), work.rows - first_row));
  const RunTile tile{first_row, rows, work.first_slice + skip, slices * work.runs_per_slice};
  const RowPartial* folded = fold_tile<kType, false>(work, pass.scales, tile, memory);
  if (threadIdx.x >= rows) return;
  const std::int64_t row = first_row + threadIdx.x;
  RowPartial p;
  if (work.counts(row)) {
    p = folded[static_cast<int>(threadIdx.x) * tile.runs];
    if (work.split.groups == 1) p = complete(work, pass, row, p);
  }
  out[row * work.split.groups + group] = p;
}

/// Does the flagged rows again, and what is to be done in fp64 in fp64.
template <DType kType>
__global__ void __launch_bounds__(kThreadsFp32) resolve_rows(RowWork work, CorePass pass, RowPartial* out) {
  __shared__ RunTileMemory memory;
  for (std::int64_t row = blockIdx.x; row < work.rows; row += gridDim.x) {
    if ((out[row].flags & kUnresolved) == 0) continue;
    const RunTile tile{row, 1, work.first_slice, work.slices * work.runs_per_slice};
    const RowPartial* folded = fold_tile<kType, true>(work, pass.scales, tile, memory);
    if (threadIdx.x == 0) out[row] = complete(work, pass, row, folded[0]);
    __syncthreads();
  }
}

}  // namespace klmesh::cuda
