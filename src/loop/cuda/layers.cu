#include "loop/cuda/launch.cuh"
#include "loop/cuda/layers.hpp"

namespace klmesh::loop::cuda {
namespace {

constexpr int kColumns = 32;                     // of one block of column_sums
constexpr int kRowLanes = kThreads / kColumns;   // threads that share a column

template <bool then_tanh>
__global__ void bias_kernel(float* rows, std::int64_t count, const float* bias, std::int64_t columns) {
  const std::int64_t i = thread_index();
  if (i >= count) return;
  const float sum = rows[i] + bias[i % columns];
  rows[i] = then_tanh ? tanhf(sum) : sum;
}

template <bool then_tanh>
void launch_bias(std::span<float> rows, std::span<const float> bias, StreamRef stream) {
  if (rows.empty()) return;
  const auto count = static_cast<std::int64_t>(rows.size());
  bias_kernel<then_tanh><<<blocks_for(count), kThreads, 0, native(stream)>>>(rows.data(), count, bias.data(),
                                                                            static_cast<std::int64_t>(bias.size()));
  check_launch("bias_kernel");
}

__global__ void tanh_backward_kernel(const float* hidden, std::int64_t count, float* gradient) {
  const std::int64_t i = thread_index();
  if (i < count) gradient[i] *= 1.0f - hidden[i] * hidden[i];
}

// A warp reads 32 columns of a row; every eighth row is the same warp's. The last sum is over warps, in order.
__global__ void __launch_bounds__(kThreads)
    column_sums_kernel(Matrix<const float> matrix, float* sums) {
  __shared__ double of_lanes[kRowLanes][kColumns];
  const int lane = threadIdx.x / kColumns;
  const int column = threadIdx.x % kColumns;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kColumns + column;
  double sum = 0.0;
  if (c < matrix.columns) {
    for (std::int64_t r = lane; r < matrix.rows; r += kRowLanes) {
      sum += static_cast<double>(matrix.data[r * matrix.stride + c]);
    }
  }
  of_lanes[lane][column] = sum;
  __syncthreads();
  if (lane != 0 || c >= matrix.columns) return;
  for (int other = 1; other < kRowLanes; ++other) sum += of_lanes[other][column];
  sums[c] = static_cast<float>(sum);
}

}  // namespace

void add_bias(std::span<float> rows, std::span<const float> bias, StreamRef stream) {
  launch_bias<false>(rows, bias, stream);
}

void add_bias_tanh(std::span<float> rows, std::span<const float> bias, StreamRef stream) {
  launch_bias<true>(rows, bias, stream);
}

void tanh_backward(std::span<const float> hidden, std::span<float> gradient, StreamRef stream) {
  if (gradient.empty()) return;
  const auto count = static_cast<std::int64_t>(gradient.size());
  tanh_backward_kernel<<<blocks_for(count), kThreads, 0, native(stream)>>>(hidden.data(), count, gradient.data());
  check_launch("tanh_backward_kernel");
}

void column_sums(Matrix<const float> matrix, std::span<float> sums, StreamRef stream) {
  if (matrix.columns == 0) return;
  const auto blocks = static_cast<unsigned>((matrix.columns + kColumns - 1) / kColumns);
  column_sums_kernel<<<blocks, kThreads, 0, native(stream)>>>(matrix, sums.data());
  check_launch("column_sums_kernel");
}

}  // namespace klmesh::loop::cuda
