// A run is a slice, or an equal part of a long one; four lanes add it up in fp32, and what they have becomes a RowPartial
// in fp64. Everything that is chosen here is a function of the run's own columns.
#pragma once

#include "core/cuda/lane_sums.cuh"
#include "core/cuda/slice_fp64.cuh"

namespace klmesh::cuda {

inline constexpr int kRunLanes = 4;
/// Columns of a run at most, unless the vocabulary is beyond all measure: what fp32 sums of a lane stand.
inline constexpr std::int64_t kRunColumns = 1024;
inline constexpr int kMaxRunsPerSlice = 64;

/// A power of two, so that the runs of a slice are a subtree of the fold.
__host__ __device__ constexpr int runs_per_slice(std::int64_t vocab_size) {
  int runs = 1;
  while (runs < kMaxRunsPerSlice && vocab_size > runs * kRunColumns * kVocabSlices) runs *= 2;
  return runs;
}

/// First column of part `run` of `runs` of a slice; multiples of 16 behind its beginning.
__device__ inline std::int64_t run_begin(std::int64_t slice_columns, int run, int runs) {
  if (run >= runs) return slice_columns;
  return 16 * ((run * slice_columns + 8 * runs) / (16 * runs));
}

/// Where a lane finds its columns of a run.
struct RunColumns {
  const char* policy;     ///< of the run's first column
  const char* reference;
  Alignment policy_alignment, reference_alignment;
  int columns;            ///< of the run; 0: nothing to do

  __device__ bool vectors() const {
    return policy_alignment == Alignment::vector && reference_alignment == Alignment::vector;
  }
};

template <DType kType>
inline constexpr int kElementBytes = kType == DType::f32 ? 4 : 2;

/// Columns from one vector of a lane to its next: consecutive lanes have consecutive vectors.
inline constexpr int kVectorStep = kRunLanes * kUnit;

template <DType kType, int kVectors>
__device__ __forceinline__ void load_chunk(const char* policy, const char* reference, const RunColumns& run,
                                           Chunk<kType, kVectors>& chunk) {
  constexpr int kWords = Chunk<kType, kVectors>::kWordsPerVector;
  constexpr int kStep = kVectorStep * kElementBytes<kType>;
  if (run.vectors()) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      load_vector<kType>(policy + v * kStep, Alignment::vector, chunk.a + v * kWords);
      load_vector<kType>(reference + v * kStep, Alignment::vector, chunk.b + v * kWords);
    }
    return;
  }
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    load_vector<kType>(policy + v * kStep, run.policy_alignment, chunk.a + v * kWords);
    load_vector<kType>(reference + v * kStep, run.reference_alignment, chunk.b + v * kWords);
  }
}

// @param left columns of the run from `policy` and `reference` on
template <DType kType, int kVectors>
__device__ __forceinline__ void load_last_chunk(const char* policy, const char* reference, int left,
                                                const RunColumns& run, Chunk<kType, kVectors>& chunk) {
  constexpr int kWords = Chunk<kType, kVectors>::kWordsPerVector;
  constexpr int kStep = kVectorStep * kElementBytes<kType>;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int columns = left - v * kVectorStep;
    load_partial_vector<kType>(policy + v * kStep, run.policy_alignment, columns, chunk.a + v * kWords);
    load_partial_vector<kType>(reference + v * kStep, run.reference_alignment, columns, chunk.b + v * kWords);
  }
}

// A pivot from the run's first 16 columns, where they show an offset that is common to them; else 0. A guess: the
// sums say whether it was right.
template <DType kType>
__device__ __forceinline__ float guess_pivot(const RunColumns& run, int lane) {
  constexpr int kBytes = kType == DType::f32 ? 4 : 2;
  float sum = 0.0f, squares = 0.0f;
  const int count = min(4, run.columns - 4 * lane);
  for (int i = 0; i < 4; ++i) {
    if (i < count) {
      const float a = load_element<float>(run.policy + (4 * lane + i) * kBytes, kType, 0);
      const float d = load_element<float>(run.reference + (4 * lane + i) * kBytes, kType, 0) - a;
      sum += d;
      squares = __fmaf_rn(d, d, squares);
    }
  }
  for (int step = 1; step < kRunLanes; step *= 2) {
    sum += __shfl_xor_sync(kFullWarp, sum, step);
    squares += __shfl_xor_sync(kFullWarp, squares, step);
  }
  const float n = static_cast<float>(max(1, min(16, run.columns)));
  const bool common = sum * sum > (2.0f / 3.0f) * n * squares;  // mean^2 > 2 variance
  return common ? sum / n : 0.0f;
}

/// Vectors of each side that a lane has in registers at a time.
template <DType kType>
inline constexpr int kChunkVectors = kType == DType::f32 ? 1 : 2;

/// The lane's sums of a run. Called by a whole warp, that is for eight runs.
template <DType kType>
__device__ __forceinline__ LaneSums sum_run(const RunColumns& run, int lane_index, float pivot) {
  constexpr int kVectors = kChunkVectors<kType>;
  constexpr int kChunkBytes = kVectors * kVectorStep * kElementBytes<kType>;
  Lane lane{.pivot = pivot, .any_pivot = __any_sync(kFullWarp, pivot != 0.0f) != 0};
  const char* policy = run.policy + lane_index * kUnit * kElementBytes<kType>;
  const char* reference = run.reference + lane_index * kUnit * kElementBytes<kType>;
  int left = run.columns - lane_index * kUnit;
  int full = __reduce_min_sync(kFullWarp, run.columns / (kVectors * kVectorStep));
  const int vectors = __reduce_max_sync(kFullWarp, (run.columns + kVectorStep - 1) / kVectorStep);
  int rest = vectors - full * kVectors;
  left -= full * kVectors * kVectorStep;
#pragma unroll 1
  for (; full > 0; --full) {
    Chunk<kType, kVectors> chunk;
    load_chunk(policy, reference, run, chunk);
    policy += kChunkBytes;
    reference += kChunkBytes;
    add_chunk(lane, chunk);
  }
  // Slices differ by 16 columns. A vector of padding adds nothing: chunks of one or two leave the same bits.
#pragma unroll 1
  for (; rest >= kVectors; rest -= kVectors) {
    Chunk<kType, kVectors> chunk;
    load_last_chunk(policy, reference, left, run, chunk);
    policy += kChunkBytes;
    reference += kChunkBytes;
    left -= kVectors * kVectorStep;
    add_chunk(lane, chunk);
  }
  if constexpr (kVectors > 1) {
    if (rest > 0) {
      Chunk<kType, 1> chunk;
      load_last_chunk(policy, reference, left, run, chunk);
      add_chunk(lane, chunk);
    }
  }
  lane.classify();
  return lane.sums;
}

/// A partial that has this flag is not one: the run is done again in fp64.
inline constexpr std::uint32_t kUnresolved = 1u << 31;

// 2^steps for integer steps <= 0.
__device__ inline double power_of_two(float steps) {
  return steps < -1000.0f ? 0.0 : __hiloint2double((1023 + static_cast<int>(steps)) << 20, 0);
}

/// The partial that four lanes' sums are. Sums over t and u follow from the six:
///   M = T + K, F = X - K, and with a - m = t ln 2: R = sum w e^u (a - m + u) = (E + R) ln 2 + F + M.
/// The lanes' log2 e is a rounded one: what they call e^a is e^(a - a kLog2eError), nearly the same factor for all columns
/// that weigh anything.
__device__ inline RowPartial partial_of_lanes(const LaneSums (&lanes)[kRunLanes], float pivot) {
  constexpr double kLog2eError = 1.0 - static_cast<double>(kLog2eF) * kLn2;
  RowPartial p;
  unsigned flags = 0;
  float exponent = lanes[0].exponent;
#pragma unroll
  for (int i = 0; i < kRunLanes; ++i) {
    flags |= lanes[i].flags;
    exponent = fmaxf(exponent, lanes[i].exponent);
  }
  if ((flags & (kLaneWild | kLaneLive)) != kLaneLive) {
    p.flags = (flags & (kLaneWild | kLaneFinite)) != 0 ? kUnresolved : 0u;
    return p;
  }
  double X = 0.0, e = 0.0, r = 0.0;
#pragma unroll
  for (int i = 0; i < kRunLanes; ++i) {
    const LaneSums& lane = lanes[i];
    const double steps = static_cast<double>(lane.exponent - exponent);
    const double scale = power_of_two(lane.exponent - exponent);
    p.S += scale * static_cast<double>(lane.S);
    p.T += scale * static_cast<double>(lane.T);
    p.K += scale * static_cast<double>(lane.K);
    X += scale * static_cast<double>(lane.X);
    e += scale * (static_cast<double>(lane.E) + steps * static_cast<double>(lane.S));
    r += scale * (static_cast<double>(lane.R) + steps * (static_cast<double>(lane.T) + static_cast<double>(lane.K)));
  }
  p.exponent = p.reference_exponent = static_cast<double>(exponent);
  p.pivot = static_cast<double>(pivot);
  p.F = X - p.K;
  p.M = p.T + p.K;
  const double shift = p.exponent * kLn2 * kLog2eError;
  p.E = kLn2 * e + shift * p.S;
  p.R = kLn2 * (e + r) + p.F + p.M + shift * (p.S + p.M);
  const double factor = 1.0 + shift * (1.0 + 0.5 * shift * (1.0 + shift / 3.0));  // e^shift
  p.S *= factor;
  p.M *= factor;
  p.K *= factor;
  p.F *= factor;
  p.T *= factor;
  p.E *= factor;
  p.R *= factor;
  p.flags = kPolicyHasMass | kReferenceHasMass;
  return p;
}

}  // namespace klmesh::cuda
