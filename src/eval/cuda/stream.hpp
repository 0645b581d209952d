// A stream of the current device, owned.
#pragma once

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_check.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::eval {

class OwnStream {
 public:
  OwnStream() { cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  ~OwnStream() { static_cast<void>(cudaStreamDestroy(stream_)); }  // a destructor has nobody to tell
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  StreamRef ref() const noexcept { return StreamRef(stream_); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace klmesh::eval
