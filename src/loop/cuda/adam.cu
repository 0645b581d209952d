#include "loop/cuda/adam.hpp"

#include "loop/cuda/launch.cuh"

namespace klmesh::loop::cuda {
namespace {

__global__ void adam_kernel(float* parameters, const std::int64_t* gradient, float* first, float* second,
                            std::int64_t count, AdamCoefficients k) {
  const std::int64_t i = thread_index();
  if (i < count) adam_update(parameters[i], gradient[i], first[i], second[i], k);
}

}  // namespace

void adam_step(std::span<float> parameters, std::span<const std::int64_t> gradient, std::span<float> first,
               std::span<float> second, const AdamCoefficients& coefficients, StreamRef stream) {
  if (parameters.empty()) return;
  const auto count = static_cast<std::int64_t>(parameters.size());
  adam_kernel<<<blocks_for(count), kThreads, 0, native(stream)>>>(parameters.data(), gradient.data(), first.data(),
                                                                 second.data(), count, coefficients);
  check_launch("adam_kernel");
}

}  // namespace klmesh::loop::cuda
