// Device memory and streams of the tests.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <vector>

#include "klmesh/stream.hpp"

namespace klmesh::testing_support {

inline void expect_cuda(cudaError_t code) { EXPECT_EQ(code, cudaSuccess) << cudaGetErrorString(code); }

/// A stream of its own, which orders itself with nobody.
class TestStream {
 public:
  TestStream() { expect_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~TestStream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  TestStream(const TestStream&) = delete;
  TestStream& operator=(const TestStream&) = delete;
  StreamRef ref() const { return StreamRef(static_cast<void*>(stream_)); }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// (count) elements on the device.
template <typename T>
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t count) : count_(count) {
    if (count_ > 0) expect_cuda(cudaMalloc(&data_, count_ * sizeof(T)));
  }
  explicit DeviceBuffer(std::span<const T> host) : DeviceBuffer(host.size()) {
    if (count_ > 0) expect_cuda(cudaMemcpy(data_, host.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceBuffer() { static_cast<void>(cudaFree(data_)); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  std::span<T> span() { return {static_cast<T*>(data_), count_}; }
  void copy_from(std::span<const T> host) {
    if (count_ > 0) expect_cuda(cudaMemcpy(data_, host.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  /// Copied out, whatever streams still do: wait for them first.
  void copy_to(std::span<T> host) const {
    if (count_ > 0) expect_cuda(cudaMemcpy(host.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
  }
  std::vector<T> host() const {
    std::vector<T> all(count_);
    copy_to(all);
    return all;
  }

 private:
  void* data_ = nullptr;
  std::size_t count_;
};

}  // namespace klmesh::testing_support
