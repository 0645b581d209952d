// The stream that exchanges run on beside the kernels of a caller's stream, and the events between the two.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <vector>

#include "core/cuda/cuda_check.hpp"
#include "klmesh/stream.hpp"

namespace klmesh {

/// Forked off a caller's stream by mark() and from(), brought back by join(): legal while the caller's stream is captured,
/// where this one becomes part of the same graph. Made by reserve(); calls make nothing.
class ExchangeStream {
 public:
  ExchangeStream() = default;
  ~ExchangeStream() {  // a destructor has nobody to tell
    for (const cudaEvent_t event : computed_) static_cast<void>(cudaEventDestroy(event));
    if (exchanged_ != nullptr) static_cast<void>(cudaEventDestroy(exchanged_));
    if (stream_ != nullptr) static_cast<void>(cudaStreamDestroy(stream_));
  }
  ExchangeStream(const ExchangeStream&) = delete;
  ExchangeStream& operator=(const ExchangeStream&) = delete;

  /// For up to `chunks` marks, on the current device.
  void reserve(int chunks) {
    if (stream_ == nullptr) make_stream();
    if (exchanged_ == nullptr) exchanged_ = make_event();
    computed_.reserve(static_cast<std::size_t>(chunks));
    while (computed_.size() < static_cast<std::size_t>(chunks)) computed_.push_back(make_event());
  }

  /// What is on `caller` now is what chunk `chunk` needs.
  void mark(int chunk, StreamRef caller) {
    cuda::check(cudaEventRecord(computed_[static_cast<std::size_t>(chunk)], cuda::native(caller)), "cudaEventRecord");
  }
  /// The stream, on which all that comes waits for the mark.
  StreamRef from(int chunk) {
    cuda::check(cudaStreamWaitEvent(stream_, computed_[static_cast<std::size_t>(chunk)], 0), "cudaStreamWaitEvent");
    return StreamRef(static_cast<void*>(stream_));
  }
  /// All that comes on `caller` waits for all that is here.
  void join(StreamRef caller) {
    cuda::check(cudaEventRecord(exchanged_, stream_), "cudaEventRecord");
    cuda::check(cudaStreamWaitEvent(cuda::native(caller), exchanged_, 0), "cudaStreamWaitEvent");
  }

 private:
  // First in line: an exchange's few blocks shall not wait until a grid of thousands has been started.
  void make_stream() {
    int least = 0, greatest = 0;
    cuda::check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
    cuda::check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest), "cudaStreamCreateWithPriority");
  }
  static cudaEvent_t make_event() {
    cudaEvent_t event = nullptr;
    cuda::check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    return event;
  }

  cudaStream_t stream_ = nullptr;
  std::vector<cudaEvent_t> computed_;  // (chunks) a chunk's partials are there
  cudaEvent_t exchanged_ = nullptr;    // all chunks have arrived
};

}  // namespace klmesh
