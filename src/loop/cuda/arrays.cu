#include "loop/cuda/arrays.hpp"

#include "loop/cuda/launch.cuh"

namespace klmesh::loop::cuda {
namespace {

template <typename T>
__global__ void fill_kernel(T* values, std::int64_t count, T value) {
  const std::int64_t i = thread_index();
  if (i < count) values[i] = value;
}

template <typename T>
void launch_fill(std::span<T> values, T value, StreamRef stream) {
  if (values.empty()) return;
  const auto count = static_cast<std::int64_t>(values.size());
  fill_kernel<<<blocks_for(count), kThreads, 0, native(stream)>>>(values.data(), count, value);
  check_launch("fill_kernel");
}

template <typename From, typename To>
__global__ void widen_kernel(const From* from, std::int64_t count, To* to) {
  const std::int64_t i = thread_index();
  if (i < count) to[i] = from[i];
}

template <typename From, typename To>
void launch_widen(std::span<const From> from, std::span<To> to, StreamRef stream) {
  if (from.empty()) return;
  const auto count = static_cast<std::int64_t>(from.size());
  widen_kernel<<<blocks_for(count), kThreads, 0, native(stream)>>>(from.data(), count, to.data());
  check_launch("widen_kernel");
}

}  // namespace

void fill(std::span<double> values, double value, StreamRef stream) { launch_fill(values, value, stream); }

void fill(std::span<std::int32_t> values, std::int32_t value, StreamRef stream) { launch_fill(values, value, stream); }

void widen(std::span<const std::int32_t> from, std::span<std::int64_t> to, StreamRef stream) {
  launch_widen(from, to, stream);
}

void widen(std::span<const float> from, std::span<double> to, StreamRef stream) { launch_widen(from, to, stream); }

}  // namespace klmesh::loop::cuda
