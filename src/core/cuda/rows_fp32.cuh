// The core pass over f32, f16 and bf16 rows: four lanes a run, up to 64 runs a block at a time.
#pragma once

#include "core/cuda/row_tile.cuh"
#include "core/cuda/rows_fp64.cuh"
#include "core/cuda/run_partial.cuh"

namespace klmesh::cuda {

/// Of a block, at most kRunsAtATime.
__device__ inline int runs_at_a_time() { return static_cast<int>(blockDim.x) / kRunLanes; }

/// Consecutive slices of consecutive rows: of one row any number; of several, as many as make kRunsAtATime runs.
struct RunTile {
  std::int64_t first_row;
  int rows;
  int first_slice;
  int runs;  // of a row, in this tile

  __device__ int row_of(int item) const { return rows == 1 ? 0 : item / runs; }
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

// Where the columns of a run are.
struct RunPlace {
  std::int64_t row;
  int begin, columns;  // begin: global index

  __device__ RunPlace(const RowWork& work, const RunTile& tile, int item) {
    const int tile_row = tile.row_of(item);
    const int run_of_row = item - tile_row * tile.runs;
    const int slice = tile.first_slice + (run_of_row >> work.log_runs);
    row = tile.first_row + tile_row;
    begin = work.first_column(slice);
    columns = work.first_column(slice + 1) - begin;
    if (work.log_runs == 0) return;
    const int run = run_of_row & ((1 << work.log_runs) - 1);
    const int skip = run_begin(columns, run, work.log_runs);
    columns = run_begin(columns, run + 1, work.log_runs) - skip;
    begin += skip;
  }
};

__device__ inline SliceColumns run_columns(const RowWork& work, const RunPlace& place) {
  const auto offset = static_cast<int>(place.begin - work.shard_begin);
  return {work.policy.row(place.row) + static_cast<std::int64_t>(offset) * work.policy.bytes,
          work.reference.row(place.row) + static_cast<std::int64_t>(offset) * work.reference.bytes,
          work.policy.dtype, work.reference.dtype, place.begin, place.columns};
}

template <typename Form>
__device__ RunColumns run_of(const RowWork& work, const RunTile& tile, int item, int items) {
  if (item >= items) return {};
  const RunPlace place(work, tile, item);
  if (!work.counts(place.row)) return {};
  const auto offset = static_cast<int>(place.begin - work.shard_begin);
  const char* policy = work.policy.row(place.row) + static_cast<std::int64_t>(offset) * Elements<Form::kPolicy>::kBytes;
  const char* reference =
      work.reference.row(place.row) + static_cast<std::int64_t>(offset) * Elements<Form::kReference>::kBytes;
  return {policy, reference, alignment_of(policy), alignment_of(reference), place.columns};
}

// Partials of runs_at_a_time() runs from `first` on, each in fp32, at most twice: with the pivot that was guessed, and with
// the one that the sums call for, or carefully.
template <typename Form, bool kFast>
__device__ void sum_runs(const RowWork& work, const FloatScales& scales, const RunTile& tile, int first, int items,
                         RunTileMemory& memory) {
  const int lane = static_cast<int>(threadIdx.x) % kRunLanes;
  const int slot = static_cast<int>(threadIdx.x) / kRunLanes;
  RowPartial* partials = memory.partials.data();
#pragma unroll 1
  for (int attempt = 0; attempt < 2; ++attempt) {
    const bool mine = attempt == 0 || memory.again[slot];
    const RunColumns run = run_of<Form>(work, tile, first + slot, mine ? items : 0);
    const float pivot = attempt == 0 ? guess_pivot<Form>(run, lane, scales) : mine ? memory.pivots[slot] : 0.0f;
    if (attempt == 0 && lane == 0) memory.pivots[slot] = pivot;
    const LaneSums sums = sum_run<Form, kFast>(run, lane, pivot, attempt > 0, scales);
    if (mine) memory.sums[slot].lanes[lane] = sums;
    __syncthreads();
    bool redo = false;
    const auto i = static_cast<int>(threadIdx.x);
    if (i < runs_at_a_time() && (attempt == 0 || memory.again[i])) {
      RowPartial p = partial_of_lanes(memory.sums[i].lanes, memory.pivots[i], scales.log2e_error);
      if ((p.flags & kOverflowed) != 0) {
        redo = attempt == 0;
        p.flags = kUnresolved;
      } else if ((p.flags & kPolicyHasMass) != 0 && !pivot_accepted(p)) {
        redo = attempt == 0 && pivot_near(p);
        if (redo) memory.pivots[i] = static_cast<float>(p.pivot + log1p(p.M / p.S));
        p = RowPartial{};
        p.flags = kUnresolved;
      }
      partials[i] = p;
    }
    if (i < runs_at_a_time()) memory.again[i] = redo;
    if (!__syncthreads_or(redo)) break;
  }
}

// What fp32 could not do, a warp for each run.
__device__ inline void resolve_runs(const RowWork& work, const Scales& scales, const RunTile& tile, int first, int items,
                                    RowPartial* partials) {
  for (int i = static_cast<int>(threadIdx.x) / 32; i < runs_at_a_time() && first + i < items;
       i += static_cast<int>(blockDim.x) / 32) {
    if ((partials[i].flags & kUnresolved) == 0) continue;
    const RowPartial p = slice_fp64(run_columns(work, RunPlace(work, tile, first + i)), scales);
    if (threadIdx.x % 32 == 0) partials[i] = p;
  }
  __syncthreads();
}

/// The core pass, with the scales as lanes take them.
struct LanePass {
  CorePass core;
  FloatScales lanes;

  explicit LanePass(const CorePass& pass) : core(pass), lanes(pass.scales) {}
};

/// Folded partials of a tile's rows, in shared memory, for the first warp's eyes. Called by a whole block.
template <typename Form, bool kResolve>
__device__ RowPartial* fold_tile(const RowWork& work, const LanePass& pass, const RunTile& tile, RunTileMemory& memory) {
  RowPartial* partials = memory.partials.data();
  RowPartial* batches = memory.batches.data();
  const int items = tile.rows * tile.runs;
  int batch = 0;
  for (int first = 0; first < items; first += runs_at_a_time(), ++batch) {
    sum_runs<Form, !kResolve>(work, pass.lanes, tile, first, items, memory);
    if constexpr (kResolve) resolve_runs(work, pass.core.scales, tile, first, items, partials);
    if (threadIdx.x < 32) fold_in_warp(partials, tile.rows, min(tile.runs, items - first));
    if (items <= runs_at_a_time()) return partials;
    if (threadIdx.x == 0) batches[batch] = partials[0];
    __syncthreads();
  }
  if (threadIdx.x < 32) fold_in_warp(batches, 1, batch);
  return batches;
}

/// Blocks of a multiprocessor: as many as leave the registers for the fp64 algebra between the loops.
template <typename Form>
inline constexpr int kBlocksPerSm = Form::kWide ? 2 : 3;

/// A block for each tile and each group of its slices. Rows that fp32 cannot do are flagged kUnresolved.
/// @param out (rows, groups)
template <typename Form>
__global__ void __launch_bounds__(kThreadsFp32, kBlocksPerSm<Form>) rows_fp32(RowWork work, LanePass pass, RowPartial* out) {
  __shared__ RunTileMemory memory;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * work.rows_per_tile;
  const auto group = static_cast<int>(blockIdx.y);
  const int skip = group * work.split.slices_per_group;
  const int slices = min(work.split.slices_per_group, work.slices - skip);
  const int rows = static_cast<int>(min(static_cast<std::int64_t>(work.rows_per_tile), work.rows - first_row));
  const RunTile tile{first_row, rows, work.first_slice + skip, slices << work.log_runs};
  const RowPartial* folded = fold_tile<Form, false>(work, pass, tile, memory);
  if (threadIdx.x >= rows) return;
  const std::int64_t row = first_row + threadIdx.x;
  RowPartial p;
  if (work.counts(row)) {
    p = folded[static_cast<int>(threadIdx.x) * tile.runs];
    if (work.split.groups == 1) p = complete(work, pass.core, row, p);
  }
  out[row * work.split.groups + group] = p;
}

/// Does the flagged rows again, and what is to be done in fp64 in fp64.
template <typename Form>
__global__ void __launch_bounds__(kThreadsFp32, 1) resolve_rows(RowWork work, LanePass pass, RowPartial* out) {
  __shared__ RunTileMemory memory;
  for (std::int64_t row = blockIdx.x; row < work.rows; row += gridDim.x) {
    if ((out[row].flags & kUnresolved) == 0) continue;
    const RunTile tile{row, 1, work.first_slice, work.slices << work.log_runs};
    const RowPartial* folded = fold_tile<Form, true>(work, pass, tile, memory);
    if (threadIdx.x == 0) out[row] = complete(work, pass.core, row, folded[0]);
    __syncthreads();
  }
}

}  // namespace klmesh::cuda
