// Memory of a back end on a GPU, and pinned memory of the host for what is copied from it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <utility>

#include "core/cuda/cuda_check.hpp"

namespace klmesh {

/// Frees with what allocated. Allocations are aligned to 256 bytes.
template <cudaError_t (*Allocate)(void**, std::size_t), cudaError_t (*Free)(void*)>
class CudaBlock {
 public:
  CudaBlock() = default;
  CudaBlock(CudaBlock&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  CudaBlock& operator=(CudaBlock&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~CudaBlock() { static_cast<void>(Free(data_)); }  // a destructor has nobody to tell

  /// Makes room for `bytes` on the current device; contents are lost if there was less. Waits for the device then.
  void reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    cuda::check(Free(std::exchange(data_, nullptr)), "cudaFree");
    bytes_ = 0;
    cuda::check(Allocate(&data_, bytes), "cudaMalloc");
    bytes_ = bytes;
  }

  std::size_t bytes() const noexcept { return bytes_; }
  std::byte* data() const noexcept { return static_cast<std::byte*>(data_); }
  std::span<std::byte> span() const noexcept { return {data(), bytes_}; }
  /// (count) elements from byte `offset` on.
  template <typename T>
  std::span<T> at(std::size_t offset, std::size_t count) const noexcept {
    return {reinterpret_cast<T*>(data() + offset), count};
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

inline cudaError_t allocate_device(void** data, std::size_t bytes) { return cudaMalloc(data, bytes); }
inline cudaError_t allocate_pinned(void** data, std::size_t bytes) { return cudaMallocHost(data, bytes); }

using DeviceMemory = CudaBlock<allocate_device, cudaFree>;
using PinnedMemory = CudaBlock<allocate_pinned, cudaFreeHost>;

}  // namespace klmesh
