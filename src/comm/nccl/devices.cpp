// The GPUs of this process.
#include <cuda_runtime_api.h>

#include <cstring>

#include "core/cuda/cuda_check.hpp"
#include "klmesh/device.hpp"

namespace klmesh {

std::vector<DeviceInfo> devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return {};
  }
  std::vector<DeviceInfo> all(static_cast<std::size_t>(count));
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    cuda::check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    DeviceInfo& info = all[static_cast<std::size_t>(index)];
    info.index = index;
    info.name = properties.name;
    info.memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
    info.compute_major = properties.major;
    info.compute_minor = properties.minor;
    std::memcpy(info.uuid.data(), properties.uuid.bytes, info.uuid.size());
  }
  return all;
}

}  // namespace klmesh
