// Logits on a GPU, many more than its caches hold, and what the kernels make of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/cuda/memory.hpp"
#include "klmesh/logits.hpp"

namespace klmesh::bench {

/// Rows of both sides in device memory: some distinct ones, over and over. A call gets other rows than the one before.
class GpuPool {
 public:
  /// @param rows of the largest call
  /// @throws CudaError where the device has not so much memory
  GpuPool(DType dtype, double noise, std::int64_t vocab_size, std::int64_t rows);

  struct Pair {
    LogitsView policy, reference;
  };
  /// `rows` rows from another place on at each call.
  Pair next(std::int64_t rows);
  /// The first rows of both sides as they lie on the host, at most 8.
  Pair host_rows(std::int64_t rows) const;
  std::int64_t vocab_size() const noexcept { return vocab_size_; }
  DType dtype() const noexcept { return dtype_; }

 private:
  LogitsView view(const DeviceMemory& side, std::int64_t first, std::int64_t rows) const;

  DType dtype_;
  std::int64_t vocab_size_, rows_, next_ = 0;
  DeviceMemory policy_, reference_;
  std::vector<std::byte> host_policy_, host_reference_;  // (8, vocab_size)
};

}  // namespace klmesh::bench
