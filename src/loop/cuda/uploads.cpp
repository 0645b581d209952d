#include "loop/cuda/uploads.hpp"

#include <algorithm>

#include "core/cuda/cuda_check.hpp"

namespace klmesh::loop::cuda {

std::size_t Uploads::enqueue(std::span<const std::byte> from, std::span<std::byte> to, StreamRef stream) {
  const std::size_t bytes = std::min(from.size(), kBytes - used_);
  if (bytes == 0) return 0;
  std::byte* const staged = pinned_.data() + used_;
  std::copy_n(from.data(), bytes, staged);
  klmesh::cuda::check(cudaMemcpyAsync(to.data(), staged, bytes, cudaMemcpyHostToDevice, klmesh::cuda::native(stream)),
                      "cudaMemcpyAsync");
  used_ += bytes;
  return bytes;
}

}  // namespace klmesh::loop::cuda
