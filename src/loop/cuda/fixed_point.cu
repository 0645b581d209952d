#include "loop/cuda/fixed_point.hpp"

#include <algorithm>

#include "loop/cuda/fixed_point.cuh"
#include "loop/cuda/launch.cuh"

namespace klmesh::loop::cuda {
namespace {

constexpr unsigned kMostBlocks = 2048;  // a thread then takes several elements, and a block asks for its maximum once

__global__ void __launch_bounds__(kThreads)
    add_kernel(const float* values, std::int64_t count, std::int64_t* words, std::uint32_t* largest) {
  __shared__ std::uint32_t of_warps[kThreads / 32];
  std::uint32_t mine = 0;
  for (std::int64_t i = thread_index(); i < count; i += static_cast<std::int64_t>(gridDim.x) * kThreads) {
    const float value = values[i];
    mine = max(mine, magnitude_bits(value));
    words[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(words[i]) +
                                         static_cast<std::uint64_t>(word_of(value)));
  }
  mine = __reduce_max_sync(0xFFFFFFFFu, mine);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = mine;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  mine = __reduce_max_sync(0xFFFFFFFFu, of_warps[threadIdx.x % (kThreads / 32)]);
  if (threadIdx.x == 0) atomicMax(largest, mine);
}

__global__ void raise_kernel(const std::uint32_t* largest, std::int64_t* bound) {
  *bound = saturated_bound(*bound + bound_term(__uint_as_float(*largest)));
}

__global__ void read_kernel(const std::int64_t* words, std::int64_t count, float* values) {
  const std::int64_t i = thread_index();
  if (i < count) values[i] = fixed_point_value(words[i]);
}

__global__ void saturate_kernel(std::int64_t* bounds, std::int64_t count) {
  const std::int64_t i = thread_index();
  if (i < count) bounds[i] = saturated_bound(bounds[i]);
}

__global__ void invalidate_kernel(const std::int64_t* source, std::int64_t* bound) {
  if (!is_valid_bound(*source)) *bound = kBoundSaturated;
}

__global__ void flag_kernel(const std::int64_t* bounds, std::int64_t count, std::uint64_t* invalid) {
  const std::int64_t i = thread_index();
  if (i < count) invalid[i] = is_valid_bound(bounds[i]) ? 0 : 1;
}

__global__ void invalidate_flagged_kernel(const std::uint64_t* invalid, std::int64_t count, std::int64_t* bounds) {
  const std::int64_t i = thread_index();
  if (i < count && invalid[i] != 0) bounds[i] = kBoundSaturated;
}

}  // namespace

void add(std::span<const float> values, const FixedPointTensor& tensor, std::uint32_t* largest, StreamRef stream) {
  if (values.empty()) return;
  const auto count = static_cast<std::int64_t>(values.size());
  klmesh::cuda::check(cudaMemsetAsync(largest, 0, sizeof *largest, native(stream)), "cudaMemsetAsync");
  add_kernel<<<std::min(blocks_for(count), kMostBlocks), kThreads, 0, native(stream)>>>(values.data(), count,
                                                                                       tensor.words, largest);
  check_launch("add_kernel");
  raise_kernel<<<1, 1, 0, native(stream)>>>(largest, tensor.bound);
  check_launch("raise_kernel");
}

void read(std::span<const std::int64_t> words, std::span<float> values, StreamRef stream) {
  if (words.empty()) return;
  const auto count = static_cast<std::int64_t>(words.size());
  read_kernel<<<blocks_for(count), kThreads, 0, native(stream)>>>(words.data(), count, values.data());
  check_launch("read_kernel");
}

void saturate(std::span<std::int64_t> bounds, StreamRef stream) {
  const auto count = static_cast<std::int64_t>(bounds.size());
  saturate_kernel<<<blocks_for(count), kThreads, 0, native(stream)>>>(bounds.data(), count);
  check_launch("saturate_kernel");
}

void invalidate_if(const std::int64_t* source, std::int64_t* bound, StreamRef stream) {
  invalidate_kernel<<<1, 1, 0, native(stream)>>>(source, bound);
  check_launch("invalidate_kernel");
}

void flag_invalid(std::span<const std::int64_t> bounds, std::span<std::uint64_t> invalid, StreamRef stream) {
  const auto count = static_cast<std::int64_t>(bounds.size());
  flag_kernel<<<blocks_for(count), kThreads, 0, native(stream)>>>(bounds.data(), count, invalid.data());
  check_launch("flag_kernel");
}

void invalidate_flagged(std::span<const std::uint64_t> invalid, std::span<std::int64_t> bounds, StreamRef stream) {
  const auto count = static_cast<std::int64_t>(bounds.size());
  invalidate_flagged_kernel<<<blocks_for(count), kThreads, 0, native(stream)>>>(invalid.data(), count, bounds.data());
  check_launch("invalidate_flagged_kernel");
}

}  // namespace klmesh::loop::cuda
