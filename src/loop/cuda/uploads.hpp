// Copies from the host that need not wait for the device: through pinned memory of a fixed size.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>

#include "engine/cuda/memory.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::loop::cuda {

/// What is uploaded between two waits is kept until the second: only what does not fit makes its caller wait.
class Uploads {
 public:
  static constexpr std::size_t kBytes = std::size_t{4} << 20;

  /// @throws CudaError
  Uploads() { pinned_.reserve(kBytes); }

  /// Enqueues as much of the beginning of `from` as there is room for. @returns how many bytes; 0: wait first
  std::size_t enqueue(std::span<const std::byte> from, std::span<std::byte> to, StreamRef stream);

  /// To be called after a wait for the stream: all room is free again.
  void waited() noexcept { used_ = 0; }

 private:
  PinnedMemory pinned_;
  std::size_t used_ = 0;
};

}  // namespace klmesh::loop::cuda
