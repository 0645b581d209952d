#include "core/cuda/second_stage.hpp"

#include <algorithm>

#include "core/cuda/columns.cuh"
#include "core/cuda/cuda_check.hpp"
#include "core/cuda/row_tile.cuh"
#include "core/cuda/second_stage_columns.cuh"
#include "core/cuda/warp.cuh"
#include "klmesh/error.hpp"

namespace klmesh::cuda {
namespace {

// A block has one row, a warp one slice at a time: few rows get more of them.
constexpr int kThreadsManyRows = 256;
constexpr int kThreadsFewRows = 512;
constexpr std::int64_t kManyRows = 512;

struct Work {
  Side policy, reference;
  const std::uint8_t* mask;  // (rows) or null
  const TokenStats* tokens;  // (rows)
  VocabShard shard;
  SecondStagePartial* partials;  // (rows)

  __device__ bool counts(std::int64_t row) const {
    return (mask == nullptr || mask[row] != 0) && !tokens[row].invalid_logits();
  }
};

// Where a slice of a row lies in both memories.
struct SliceMemory {
  const char *a, *b;
  std::int64_t columns;

  __device__ SliceMemory(const Work& work, std::int64_t row, int slice) {
    const std::int64_t begin = slice_begin(work.shard.vocab_size, slice);
    columns = slice_begin(work.shard.vocab_size, slice + 1) - begin;
    a = work.policy.row(row) + (begin - work.shard.begin) * work.policy.bytes;
    b = work.reference.row(row) + (begin - work.shard.begin) * work.reference.bytes;
  }
};

// What is in a unit that may end early; -inf, which carries no mass, behind.
__device__ void load_part(const char* columns, DType dtype, std::int64_t first, std::int64_t end, float (&x)[kUnit]) {
#pragma unroll
  for (int i = 0; i < kUnit; ++i) x[i] = first + i < end ? load_element<float>(columns, dtype, first + i) : -HUGE_VALF;
}

__device__ void add(ShareSums<double>& total, const ShareSums<float>& sums) {
  total.twice_jensen_shannon += static_cast<double>(sums.twice_jensen_shannon);
  total.variation += static_cast<double>(sums.variation);
  total.policy_mixture += static_cast<double>(sums.policy_mixture);
}

// A lane's columns: eight at a time, by their place in the slice, whatever the alignment. fp32 sums are short.
template <bool kScaled>
__device__ ShareSums<double> lane_sums(const Work& work, const SliceMemory& slice, const RowNormalizer& normalizer) {
  constexpr int kUnitsInFp32 = 4;
  const MixtureRow row(normalizer, work.policy.scale, work.reference.scale);
  const bool a_aligned = is_aligned(slice.a), b_aligned = is_aligned(slice.b);
  ShareSums<double> total;
  ShareSums<float> sums;
  int units = 0;
  for (std::int64_t i = static_cast<std::int64_t>(threadIdx.x % 32) * kUnit; i < slice.columns; i += 32 * kUnit) {
    float a[kUnit], b[kUnit];
    if (i + kUnit <= slice.columns) {
      const RawUnit raw_a = load_unit(slice.a + i * work.policy.bytes, work.policy.bytes, a_aligned);
      const RawUnit raw_b = load_unit(slice.b + i * work.reference.bytes, work.reference.bytes, b_aligned);
      decode(raw_a, work.policy.dtype, a);
      decode(raw_b, work.reference.dtype, b);
    } else {
      load_part(slice.a, work.policy.dtype, i, slice.columns, a);
      load_part(slice.b, work.reference.dtype, i, slice.columns, b);
    }
#pragma unroll
    for (int k = 0; k < kUnit; ++k) add_column<kScaled>(a[k], b[k], row, sums);
    if (++units % kUnitsInFp32 == 0) {
      add(total, sums);
      sums = {};
    }
  }
  add(total, sums);
  return total;
}

__device__ ShareSums<double> lane_sums_f64(const Work& work, const SliceMemory& slice, const RowNormalizer& row) {
  ShareSums<double> sums;
  for (std::int64_t i = threadIdx.x % 32; i < slice.columns; i += 32) {
    add_column(load_element<double>(slice.a, work.policy.dtype, i), load_element<double>(slice.b, work.reference.dtype, i),
               row, work.policy.scale, work.reference.scale, sums);
  }
  return sums;
}

enum class Path { plain, scaled, f64 };

template <Path kPath>
__global__ void __launch_bounds__(kThreadsFewRows, 1) second_stage_kernel(const Work work) {
  __shared__ SecondStagePartial slices[kVocabSlices];
  const std::int64_t row = blockIdx.x;
  if (!work.counts(row)) {
    if (threadIdx.x == 0) work.partials[row] = {0, 0, 0};
    return;
  }
  const RowNormalizer normalizer = work.tokens[row].normalizer;
  const int count = work.shard.last_slice - work.shard.first_slice;
  for (int s = static_cast<int>(threadIdx.x / 32); s < count; s += static_cast<int>(blockDim.x / 32)) {
    const SliceMemory slice(work, row, work.shard.first_slice + s);
    ShareSums<double> sums;
    if constexpr (kPath == Path::f64) {
      sums = lane_sums_f64(work, slice, normalizer);
    } else {
      sums = lane_sums<kPath == Path::scaled>(work, slice, normalizer);
    }
    const SecondStagePartial partial{0.5 * warp_sum(sums.twice_jensen_shannon), warp_sum(sums.variation),
                                     warp_sum(sums.policy_mixture)};
    if (threadIdx.x % 32 == 0) slices[s] = partial;
  }
  __syncthreads();
  fold_runs(slices, 1, count);
  if (threadIdx.x == 0) work.partials[row] = count > 0 ? slices[0] : SecondStagePartial{0, 0, 0};
}

}  // namespace

void second_stage(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<const TokenStats> tokens, std::span<SecondStagePartial> partials,
                  StreamRef stream) {
  if (stream.is_host()) throw InvalidArgument("cuda::second_stage: a host stream");
  if (policy.rows == 0) return;
  const Work work{Side(policy), Side(reference), inputs.mask.empty() ? nullptr : inputs.mask.data(), tokens.data(),
                  shard, partials.data()};
  const bool f64 = policy.dtype == DType::f64 || reference.dtype == DType::f64;
  const bool scaled = policy.scale != 1.0 || reference.scale != 1.0;
  const auto kernel = f64      ? second_stage_kernel<Path::f64>
                      : scaled ? second_stage_kernel<Path::scaled>
                               : second_stage_kernel<Path::plain>;
  const int threads = policy.rows >= kManyRows ? kThreadsManyRows : kThreadsFewRows;
  kernel<<<static_cast<unsigned>(policy.rows), static_cast<unsigned>(threads), 0, native(stream)>>>(work);
  check_launch("second_stage");
}

}  // namespace klmesh::cuda
