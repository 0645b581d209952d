// What a program asks of the CUDA runtime, counted where it is called: a program links counted_calls.cpp with the
// options that CMakeLists.txt gives it.
#pragma once

namespace klmesh::loop {

struct CudaCalls {
  int to_device = 0, to_host = 0;  // copies, waiting or not
  int allocations = 0, frees = 0;  // of the device's and of pinned memory
  int waits = 0;                   // for a stream, an event or a device, without a deadline
};

/// Since the program began.
CudaCalls cuda_calls();

inline CudaCalls operator-(const CudaCalls& a, const CudaCalls& b) {
  return {a.to_device - b.to_device, a.to_host - b.to_host, a.allocations - b.allocations, a.frees - b.frees,
          a.waits - b.waits};
}

}  // namespace klmesh::loop
