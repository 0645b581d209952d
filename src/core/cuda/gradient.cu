#include "core/cuda/gradient.hpp"

#include <algorithm>
#include <cfloat>

#include "core/cuda/columns.cuh"
#include "core/cuda/cuda_check.hpp"
#include "core/cuda/gradient_row.cuh"
#include "klmesh/error.hpp"

namespace klmesh::cuda {
namespace {

constexpr int kThreads = 256;

// Units of eight columns that a block takes of one row: many, so that a row's constants are formed seldom; few where
// there are few rows, so that all of the device works.
constexpr int kLongTile = 4 * kThreads;
constexpr int kShortTile = kThreads / 4;
constexpr std::int64_t kManyColumns = std::int64_t{1} << 22;

struct Output {
  char* data;
  std::int64_t row_stride_bytes;
  DType dtype;
  int bytes;  // of an element
  bool accumulate;

  __device__ char* row(std::int64_t i) const { return data + i * row_stride_bytes; }
};

struct Work {
  Side policy, reference;
  Output output;
  const std::uint8_t* mask;     // (rows) or null
  const std::int64_t* targets;  // (rows) or null
  const TokenStats* tokens;     // (rows)
  RowScalePointers scales;
  std::int64_t columns, shard_begin;
  int tile;             // units
  std::int64_t tiles;   // of a row
  std::int64_t blocks;  // rows * tiles
};

// The tile of a row that a block works on.
struct Tile {
  std::int64_t row, index;

  __device__ Tile(const Work& work, std::int64_t block) : row(block / work.tiles), index(block % work.tiles) {}
};

__device__ bool gives_zero(const Work& work, std::int64_t row) {
  if (work.mask != nullptr && work.mask[row] == 0) return true;
  return work.tokens[row].invalid_logits() || work.tokens[row].invalid_target();
}

__device__ void zero_tile(const Work& work, const Tile& tile) {
  if (work.output.accumulate) return;
  char* out = work.output.row(tile.row);
  const std::int64_t begin = tile.index * work.tile * kUnit;
  const std::int64_t end = tile.index + 1 == work.tiles ? work.columns : begin + work.tile * kUnit;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) store_element(out, work.output.dtype, i, 0.0f);
}

// The target as a column of this shard; -1: elsewhere, or of no weight.
__device__ std::int64_t target_column(const Work& work, std::int64_t row, const RowWeights& weights) {
  if (work.targets == nullptr || weights.logp == 0.0) return -1;
  const std::int64_t column = work.targets[row] - work.shard_begin;
  return column >= 0 && column < work.columns ? column : -1;
}

// One row's memory, and how its columns are aligned. Units start `head` columns in, where the policy's address is a
// multiple of 16 bytes; the other two are accessed by units where theirs are, too. What lies before the first and
// behind the last unit, at most 14 columns, goes with the first tile.
struct RowMemory {
  const char *a, *b;
  char* out;
  std::int64_t head, units;
  bool a_aligned, b_aligned, out_aligned;

  __device__ RowMemory(const Work& work, std::int64_t row)
      : a(work.policy.row(row)), b(work.reference.row(row)),
        out(work.output.row(row)) {
    const auto bytes_before = (16 - (reinterpret_cast<std::uintptr_t>(a) & 15)) & 15;
    head = min(static_cast<std::int64_t>(bytes_before) / work.policy.bytes, work.columns);
    units = (work.columns - head) / kUnit;
    a_aligned = is_aligned(a + head * work.policy.bytes);
    b_aligned = is_aligned(b + head * work.reference.bytes);
    out_aligned = is_aligned(out + head * work.output.bytes);
  }
  __device__ std::int64_t tail() const { return head + units * kUnit; }
  __device__ std::int64_t tile_of(std::int64_t column, int tile) const {
    return column < head || column >= tail() ? 0 : (column - head) / kUnit / tile;
  }
};

// What the threads of a block share about their row.
struct SharedRow {
  RowConstants constants;
  bool zero;              // masked or invalid
  std::int64_t target;    // column that this tile fills, or -1
  float target_gradient;
};

// d log pi(y) / d a_y = 1 - pi_y: the target's own column is formed in fp64 and rounded once. Before any thread has
// written, as the output may be the policy's memory.
template <bool kScaled, bool kMore>
__device__ float target_gradient(const Work& work, const RowMemory& memory, const SharedRow& row,
                                 const TokenStats& token, double logp) {
  const float a = load_element<float>(memory.a, work.policy.dtype, row.target);
  const float b = load_element<float>(memory.b, work.reference.dtype, row.target);
  double g = static_cast<double>(gradient_of_column<kScaled, kMore>(a, b, row.constants));
  g -= logp * expm1(static_cast<double>(a) * work.policy.scale - token.normalizer.lse_policy);
  if (work.output.accumulate) g += reinterpret_cast<const float*>(memory.out)[row.target];
  return static_cast<float>(g);
}

template <bool kScaled, bool kMore>
__device__ void form_row(const Work& work, const Tile& tile, SharedRow& row) {
  row.zero = gives_zero(work, tile.row);
  if (row.zero) return;
  const TokenStats& token = work.tokens[tile.row];
  RowWeights weights = row_weights(work.scales, tile.row, work.policy.scale);
  row.target = target_column(work, tile.row, weights);
  if (row.target >= 0) {
    const RowMemory memory(work, tile.row);
    if (memory.tile_of(row.target, work.tile) != tile.index) row.target = -1;
    if (row.target >= 0) {
      const double logp = weights.logp;
      weights.logp = 0.0;
      row.constants.set(token.normalizer, weights, work.policy.scale, work.reference.scale);
      row.target_gradient = target_gradient<kScaled, kMore>(work, memory, row, token, logp);
      weights.logp = logp;
    }
  }
  row.constants.set(token.normalizer, weights, work.policy.scale, work.reference.scale);
}

template <bool kScaled, bool kMore>
__device__ void fill_column(const Work& work, const RowMemory& memory, std::int64_t i, const RowConstants& row) {
  const float a = load_element<float>(memory.a, work.policy.dtype, i);
  const float b = load_element<float>(memory.b, work.reference.dtype, i);
  float g = gradient_of_column<kScaled, kMore>(a, b, row);
  if (work.output.accumulate) g += reinterpret_cast<const float*>(memory.out)[i];
  store_element(memory.out, work.output.dtype, i, g);
}

template <bool kScaled, bool kMore>
__device__ void fill_unit(const Work& work, const RowMemory& memory, std::int64_t i, const RowConstants& row) {
  const RawUnit raw_a = load_unit(memory.a + i * work.policy.bytes, work.policy.bytes, memory.a_aligned);
  const RawUnit raw_b = load_unit(memory.b + i * work.reference.bytes, work.reference.bytes, memory.b_aligned);
  float a[kUnit], b[kUnit];
  decode(raw_a, work.policy.dtype, a);
  decode(raw_b, work.reference.dtype, b);
#pragma unroll
  for (int k = 0; k < kUnit; ++k) a[k] = gradient_of_column<kScaled, kMore>(a[k], b[k], row);
  if (work.output.accumulate) {
    decode(load_unit(memory.out + i * 4, 4, memory.out_aligned), DType::f32, b);
#pragma unroll
    for (int k = 0; k < kUnit; ++k) a[k] += b[k];
  }
  store_unit(memory.out, work.output.dtype, i, a, memory.out_aligned);
}

// Each thread fills columns of its own; the one that filled the target's puts the right number there.
template <bool kScaled, bool kMore>
__device__ void fill_tile(const Work& work, const Tile& tile, const SharedRow& row) {
  const RowMemory memory(work, tile.row);
  const RowConstants constants = row.constants;
  const std::int64_t target = row.target;
  const auto correct = [&](std::int64_t begin, std::int64_t end) {
    if (target >= begin && target < end) store_element(memory.out, work.output.dtype, target, row.target_gradient);
  };
  const std::int64_t first = tile.index * work.tile;
  const std::int64_t last = min(memory.units, first + work.tile);
  for (std::int64_t u = first + threadIdx.x; u < last; u += kThreads) {
    const std::int64_t i = memory.head + u * kUnit;
    fill_unit<kScaled, kMore>(work, memory, i, constants);
    correct(i, i + kUnit);
  }
  if (tile.index != 0) return;
  const std::int64_t edges = work.columns - memory.units * kUnit;
  for (std::int64_t e = threadIdx.x; e < edges; e += kThreads) {
    const std::int64_t i = e < memory.head ? e : e + memory.units * kUnit;
    fill_column<kScaled, kMore>(work, memory, i, constants);
    correct(i, i + 1);
  }
}

template <bool kScaled, bool kMore>
__global__ void __launch_bounds__(kThreads, kMore ? 2 : 3) gradient_kernel(const Work work) {
  __shared__ SharedRow row;
  for (std::int64_t block = blockIdx.x; block < work.blocks; block += gridDim.x) {
    const Tile tile(work, block);
    if (threadIdx.x == 0) form_row<kScaled, kMore>(work, tile, row);
    __syncthreads();
    if (row.zero) {
      zero_tile(work, tile);
    } else {
      fill_tile<kScaled, kMore>(work, tile, row);
    }
    __syncthreads();  // the row is read until here
  }
}

// f64 logits on either side: a plain loop, one column a thread at a time.
__global__ void __launch_bounds__(kThreads, 1) gradient_f64_kernel(const Work work) {
  for (std::int64_t block = blockIdx.x; block < work.blocks; block += gridDim.x) {
    const Tile tile(work, block);
    if (gives_zero(work, tile.row)) {
      zero_tile(work, tile);
      continue;
    }
    const RowNormalizer normalizer = work.tokens[tile.row].normalizer;
    RowWeights weights = row_weights(work.scales, tile.row, work.policy.scale);
    const std::int64_t target = target_column(work, tile.row, weights);
    const double logp = weights.logp;
    const char* policy = work.policy.row(tile.row);
    const char* reference = work.reference.row(tile.row);
    char* out = work.output.row(tile.row);
    const std::int64_t begin = tile.index * work.tile * kUnit;
    const std::int64_t end = min(work.columns, begin + work.tile * kUnit);
    for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
      const double a = load_element<double>(policy, work.policy.dtype, i);
      const double b = load_element<double>(reference, work.reference.dtype, i);
      weights.logp = i == target ? 0.0 : logp;
      double g = gradient_of_column(a, b, work.policy.scale, work.reference.scale, normalizer, weights);
      if (i == target) g -= logp * expm1(a * work.policy.scale - normalizer.lse_policy);
      if (work.output.accumulate) g += reinterpret_cast<const float*>(out)[i];
      store_element(out, work.output.dtype, i, static_cast<float>(g));
    }
  }
}

const double* pointer(std::span<const double> scales) { return scales.empty() ? nullptr : scales.data(); }

Work work_of(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard, const RowInputs& inputs,
             std::span<const TokenStats> tokens, const RowScales& scales, const GradientView& output) {
  const std::int64_t columns = shard.columns();
  const int tile = policy.rows * columns >= kManyColumns ? kLongTile : kShortTile;
  const std::int64_t tiles = (columns + tile * kUnit - 1) / (tile * kUnit);
  const auto bytes = static_cast<int>(dtype_bytes(output.dtype));
  return {Side(policy), Side(reference),
          {static_cast<char*>(output.data), output.row_stride * bytes, output.dtype, bytes, output.accumulate},
          inputs.mask.empty() ? nullptr : inputs.mask.data(),
          inputs.targets.empty() ? nullptr : inputs.targets.data(), tokens.data(),
          {pointer(scales.kl_reverse), pointer(scales.kl_forward), pointer(scales.logp_policy),
           pointer(scales.entropy_policy), pointer(scales.jensen_shannon)},
          columns, shard.begin, tile, tiles, policy.rows * tiles};
}

using Kernel = void (*)(Work);

Kernel kernel_for(const LogitsView& policy, const LogitsView& reference, const RowScales& scales) {
  if (policy.dtype == DType::f64 || reference.dtype == DType::f64) return gradient_f64_kernel;
  const bool scaled = policy.scale != 1.0 || reference.scale != 1.0;
  const bool more = !scales.kl_forward.empty() || !scales.entropy_policy.empty() || !scales.jensen_shannon.empty();
  if (scaled) return more ? gradient_kernel<true, true> : gradient_kernel<true, false>;
  return more ? gradient_kernel<false, true> : gradient_kernel<false, false>;
}

}  // namespace

void gradient(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
              const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
              const GradientView& output, StreamRef stream) {
  if (stream.is_host()) throw InvalidArgument("cuda::gradient: a host stream");
  const Work work = work_of(policy, reference, shard, inputs, tokens, scales, output);
  if (work.blocks == 0) return;
  const auto grid = static_cast<unsigned>(std::min<std::int64_t>(work.blocks, std::numeric_limits<int>::max()));
  kernel_for(policy, reference, scales)<<<grid, kThreads, 0, native(stream)>>>(work);
  check_launch("gradient");
}

}  // namespace klmesh::cuda
