// A run is a slice, or an equal part of a long one; four lanes add it up in fp32, and what they have becomes a RowPartial
// in fp64. Everything that is chosen here is a function of the run's own columns.
#pragma once

#include "core/cuda/lane_sums.cuh"
#include "core/cuda/row_tile.cuh"
#include "core/cuda/slice_fp64.cuh"

namespace klmesh::cuda {

/// First column of part `run` of the 2^log_runs of a slice; multiples of 16 behind its beginning.
__device__ inline int run_begin(int slice_columns, int run, int log_runs) {
  if (run >> log_runs != 0) return slice_columns;
  return 16 * ((run * slice_columns + (8 << log_runs)) >> (4 + log_runs));
}

/// Where a lane finds its columns of a run.
struct RunColumns {
  const char* policy;     ///< of the run's first column
  const char* reference;
  Alignment policy_alignment, reference_alignment;
  int columns;            ///< of the run; 0: nothing to do

  __device__ bool vectors() const {
    return policy_alignment.vectors() && reference_alignment.vectors();
  }
};

/// Columns from one vector of a lane to its next: consecutive lanes have consecutive vectors.
inline constexpr int kVectorStep = kRunLanes * kUnit;

template <DType kType>
inline constexpr int kStepBytes = kVectorStep * Elements<kType>::kBytes;

// Rows that are aligned.
template <typename Form, int kVectors>
__device__ __forceinline__ void load_chunk(const char* policy, const char* reference, Chunk<Form, kVectors>& chunk) {
  constexpr DType kA = Form::kPolicy, kB = Form::kReference;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    load_vector<kA>(policy + v * kStepBytes<kA>, kVectorAligned, chunk.a + v * kVectorWords<kA>);
    load_vector<kB>(reference + v * kStepBytes<kB>, kVectorAligned, chunk.b + v * kVectorWords<kB>);
  }
}

// @param left columns of the run from `policy` and `reference` on
template <typename Form, int kVectors>
__device__ __forceinline__ void load_last_chunk(const char* policy, const char* reference, int left,
                                                const RunColumns& run, Chunk<Form, kVectors>& chunk) {
  constexpr DType kA = Form::kPolicy, kB = Form::kReference;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int columns = left - v * kVectorStep;
    load_partial_vector<kA, kB>(policy + v * kStepBytes<kA>, run.policy_alignment, columns, chunk.a + v * kVectorWords<kA>);
    load_partial_vector<kB, kA>(reference + v * kStepBytes<kB>, run.reference_alignment, columns,
                                chunk.b + v * kVectorWords<kB>);
  }
}

// Four columns from `first` on, as floats; 0 behind the end.
template <DType kType>
__device__ __forceinline__ void load_four(const char* columns, Alignment alignment, int first, int end, float (&x)[4]) {
  using E = Elements<kType>;
  if (alignment.words() && first + 4 <= end) {
    unsigned words[4 / E::kPerWord];
#pragma unroll
    for (int i = 0; i < 4 / E::kPerWord; ++i) words[i] = __ldg(reinterpret_cast<const unsigned*>(columns + first * E::kBytes) + i);
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = E::at(words, i);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) x[i] = first + i < end ? load_element<float>(columns, kType, first + i) : 0.0f;
}

// A pivot from the run's first 16 columns, where they show an offset that is common to them; else 0. A guess: the
// sums say whether it was right.
template <typename Form>
__device__ __forceinline__ float guess_pivot(const RunColumns& run, int lane, const FloatScales& scales) {
  float a[4], b[4], sum = 0.0f, squares = 0.0f;
  load_four<Form::kPolicy>(run.policy, run.policy_alignment, 4 * lane, run.columns, a);
  load_four<Form::kReference>(run.reference, run.reference_alignment, 4 * lane, run.columns, b);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float d = Form::kScaling == Scaling::unequal
                        ? __fmaf_rn(b[i], scales.reference.high, -(a[i] * scales.policy.high))
                        : near_difference<Form>(a[i], b[i], scales);
    sum += d;
    squares = __fmaf_rn(d, d, squares);
  }
  for (int step = 1; step < kRunLanes; step *= 2) {
    sum += __shfl_xor_sync(kFullWarp, sum, step);
    squares += __shfl_xor_sync(kFullWarp, squares, step);
  }
  const float n = static_cast<float>(max(1, min(16, run.columns)));
  const bool common = sum * sum > (2.0f / 3.0f) * n * squares;  // mean^2 > 2 variance
  return common ? sum / n : 0.0f;
}

/// The lane's sums of a run. Called by a whole warp, that is for eight runs.
/// @param kFast false: slower, in little code; the same bits
/// @param careful see Lane
template <typename Form, bool kFast>
__device__ __forceinline__ LaneSums sum_run(const RunColumns& run, int lane_index, float pivot, bool careful,
                                            const FloatScales& scales) {
  constexpr DType kA = Form::kPolicy, kB = Form::kReference;
  constexpr int kVectors = Form::kVectors;
  Lane<Form> lane(pivot, careful, scales);
  const char* policy = run.policy + lane_index * kUnit * Elements<kA>::kBytes;
  const char* reference = run.reference + lane_index * kUnit * Elements<kB>::kBytes;
  int left = run.columns - lane_index * kUnit;
  const auto step = [&] {
    policy += kVectors * kStepBytes<kA>;
    reference += kVectors * kStepBytes<kB>;
  };
  int vectors = __reduce_max_sync(kFullWarp, (run.columns + kVectorStep - 1) / kVectorStep);
  if constexpr (kFast) {
    const int aligned = __reduce_min_sync(kFullWarp, run.vectors() ? run.columns / (kVectors * kVectorStep) : 0);
    vectors -= aligned * kVectors;
    left -= aligned * kVectors * kVectorStep;
#pragma unroll 1
    for (int i = aligned; i > 0; --i, step()) {
      Chunk<Form, kVectors> chunk;
      load_chunk(policy, reference, chunk);
      lane.add(chunk);
    }
  }
  // Rows of any alignment; ends, as slices differ by 16 columns. A vector of padding adds nothing: one alone leaves the
  // bits of one with padding behind it.
#pragma unroll 1
  for (; vectors > (kFast ? 1 : 0); vectors -= kVectors, step()) {
    Chunk<Form, kVectors> chunk;
    load_last_chunk(policy, reference, left, run, chunk);
    left -= kVectors * kVectorStep;
    if constexpr (kFast) {
      lane.add(chunk);
    } else {
      lane.add_slowly(chunk);
    }
  }
  if constexpr (kFast) {
    if (vectors > 0) {
      Chunk<Form, 1> chunk;
      load_last_chunk(policy, reference, left, run, chunk);
      lane.add(chunk);
    }
  }
  return lane.finish();
}

/// A partial that has this flag is not one: the run is done again in fp64.
inline constexpr std::uint32_t kUnresolved = 1u << 31;
/// Beside it: with the same pivot, but carefully, fp32 may do it.
inline constexpr std::uint32_t kOverflowed = 1u << 30;

// 2^steps for integer steps <= 0.
__device__ inline double power_of_two(float steps) {
  return steps < -1000.0f ? 0.0 : __hiloint2double((1023 + static_cast<int>(steps)) << 20, 0);
}

/// The partial that four lanes' sums are. Sums over t and u follow from the six:
///   M = T + K, F = X - K, and with a - m = t ln 2: R = sum w e^u (a - m + u) = (E + R) ln 2 + F + M.
/// The lanes' log2 e is a rounded one: what they call e^a is e^(a - a log2e_error), nearly the same factor for all columns
/// that weigh anything.
__device__ inline RowPartial partial_of_lanes(const LaneSums (&lanes)[kRunLanes], float pivot, double log2e_error) {
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
  if ((flags & kLaneOverflow) != 0) {
    p.flags = kUnresolved | kOverflowed;
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
  const double shift = p.exponent * kLn2 * log2e_error;
  p.E = kLn2 * e + shift * p.S;
  p.R = kLn2 * (e + r) + p.F + p.M + shift * (p.S + p.M);
  const double factor = 1.0 + shift * (1.0 + 0.5 * shift * (1.0 + shift * (1.0 / 3.0)));  // e^shift
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
