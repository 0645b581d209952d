// A stream of the current device, owned.
#pragma once

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_check.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::loop::cuda {

class OwnedStream {
 public:
  OwnedStream() {
    klmesh::cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  ~OwnedStream() { static_cast<void>(cudaStreamDestroy(stream_)); }  // a destructor has nobody to tell
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;

  StreamRef ref() const noexcept { return StreamRef(stream_); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace klmesh::loop::cuda
