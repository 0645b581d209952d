// Device memory of a test: filled from host vectors, read back.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "core/cuda/cuda_check.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::test {

/// `count` elements of device memory, `offset` elements behind an address of 256 bytes.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count, std::size_t offset = 0) : count_(count), offset_(offset) {
    cuda::check(cudaMalloc(&memory_, (count + offset + 1) * sizeof(T)), "cudaMalloc");
  }
  explicit DeviceArray(const std::vector<T>& values, std::size_t offset = 0) : DeviceArray(values.size(), offset) {
    cuda::check(cudaMemcpy(data(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  DeviceArray(DeviceArray&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), count_(other.count_), offset_(other.offset_) {}
  DeviceArray& operator=(DeviceArray&&) = delete;
  ~DeviceArray() { cudaFree(memory_); }

  T* data() const { return static_cast<T*>(memory_) + offset_; }
  std::size_t size() const { return count_; }
  std::span<T> span() const { return {data(), count_}; }

  /// Waits for the device.
  std::vector<T> host() const {
    std::vector<T> values(count_);
    cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    cuda::check(cudaMemcpy(values.data(), data(), count_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }

 private:
  void* memory_ = nullptr;
  std::size_t count_, offset_;
};

/// A stream of a test's own.
class TestStream {
 public:
  TestStream() { cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  TestStream(const TestStream&) = delete;
  TestStream& operator=(const TestStream&) = delete;
  ~TestStream() { cudaStreamDestroy(stream_); }

  StreamRef ref() const { return StreamRef(stream_); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace klmesh::test
