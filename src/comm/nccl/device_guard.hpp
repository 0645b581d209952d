// The current device of the thread, for the length of a scope.
#pragma once

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_check.hpp"

namespace klmesh::comm {

/// Makes `device` current and puts back what was.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    cuda::check(cudaGetDevice(&before_), "cudaGetDevice");
    cuda::check(cudaSetDevice(device), "cudaSetDevice");
  }
  ~DeviceGuard() { static_cast<void>(cudaSetDevice(before_)); }  // a destructor has nobody to tell
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
};

}  // namespace klmesh::comm
