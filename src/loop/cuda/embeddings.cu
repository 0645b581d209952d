#include "loop/cuda/embeddings.hpp"

#include "loop/cuda/fixed_point.cuh"
#include "loop/cuda/fixed_point.hpp"
#include "loop/cuda/launch.cuh"

namespace klmesh::loop::cuda {
namespace {

__device__ bool is_in(const VocabShard& shard, std::int32_t word) { return word >= shard.begin && word < shard.end; }

// A thread an element.
__global__ void look_up_kernel(const std::int32_t* words, std::int64_t count, const float* embeddings, VocabShard shard,
                               std::int64_t width, float* inputs) {
  const std::int64_t i = thread_index();
  if (i >= count * width) return;
  const std::int32_t word = words[i / width];
  inputs[i] = is_in(shard, word) ? embeddings[(word - shard.begin) * width + i % width] : 0.0f;
}

// A warp a word: its largest magnitude goes into the bound. At 2^41 each, 2^21 valid words can't overflow it; an invalid
// one lifts it above all limits once and for all.
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(const std::int32_t* words, std::int64_t count, const float* dinputs, VocabShard shard,
                   std::int64_t width, std::int64_t* sums, std::int64_t* bound) {
  const std::int64_t i = thread_index() / 32;
  if (i >= count || !is_in(shard, words[i])) return;
  std::int64_t* const row = sums + (words[i] - shard.begin) * width;
  std::uint32_t largest = 0;
  for (std::int64_t e = threadIdx.x % 32; e < width; e += 32) {
    const float value = dinputs[i * width + e];
    largest = max(largest, magnitude_bits(value));
    atomic_add(row + e, word_of(value));
  }
  largest = __reduce_max_sync(0xFFFFFFFFu, largest);
  if (threadIdx.x % 32 != 0) return;
  const std::int64_t raised = bound_term(__uint_as_float(largest));
  if (raised == kBoundSaturated) {
    atomicMax(reinterpret_cast<long long*>(bound), static_cast<long long>(kBoundSaturated));
  } else {
    atomic_add(bound, raised);
  }
}

}  // namespace

void look_up(const VocabShard& shard, Matrix<const float> embeddings, std::span<const std::int32_t> words,
             std::span<float> inputs, StreamRef stream) {
  if (words.empty()) return;
  const auto count = static_cast<std::int64_t>(words.size());
  look_up_kernel<<<blocks_for(count * embeddings.columns), kThreads, 0, native(stream)>>>(
      words.data(), count, embeddings.data, shard, embeddings.columns, inputs.data());
  check_launch("look_up_kernel");
}

void scatter(const VocabShard& shard, std::span<const std::int32_t> words, std::span<const float> dinputs,
             const FixedPointTensor& dembeddings, StreamRef stream) {
  if (words.empty()) return;
  const auto count = static_cast<std::int64_t>(words.size());
  const auto width = static_cast<std::int64_t>(dinputs.size()) / count;
  scatter_kernel<<<blocks_for(count * 32), kThreads, 0, native(stream)>>>(words.data(), count, dinputs.data(), shard,
                                                                         width, dembeddings.words, dembeddings.bound);
  check_launch("scatter_kernel");
  saturate({dembeddings.bound, 1}, stream);
}

}  // namespace klmesh::loop::cuda
