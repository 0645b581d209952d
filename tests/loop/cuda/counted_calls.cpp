// The linker sends calls of f() to __wrap_f(), and those of __real_f() to f(): no call of a static library is missed.
#include "loop/cuda/counted_calls.hpp"

#include <cuda_runtime_api.h>

#include <cstddef>

namespace klmesh::loop {
namespace {

CudaCalls counted;

void count_copy(cudaMemcpyKind kind) {
  if (kind == cudaMemcpyHostToDevice) ++counted.to_device;
  if (kind == cudaMemcpyDeviceToHost) ++counted.to_host;
  if (kind == cudaMemcpyDefault) counted.to_device = counted.to_host = 1 << 20;  // says nothing: never used
}

}  // namespace

CudaCalls cuda_calls() { return counted; }

extern "C" {

cudaError_t __real_cudaMemcpy(void*, const void*, std::size_t, cudaMemcpyKind);
cudaError_t __real_cudaMemcpyAsync(void*, const void*, std::size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t __real_cudaMemcpy2DAsync(void*, std::size_t, const void*, std::size_t, std::size_t, std::size_t, cudaMemcpyKind,
                                     cudaStream_t);
cudaError_t __real_cudaMalloc(void**, std::size_t);
cudaError_t __real_cudaMallocAsync(void**, std::size_t, cudaStream_t);
cudaError_t __real_cudaMallocHost(void**, std::size_t);
cudaError_t __real_cudaFree(void*);
cudaError_t __real_cudaFreeHost(void*);
cudaError_t __real_cudaFreeAsync(void*, cudaStream_t);
cudaError_t __real_cudaEventSynchronize(cudaEvent_t);
cudaError_t __real_cudaStreamSynchronize(cudaStream_t);
cudaError_t __real_cudaDeviceSynchronize();

cudaError_t __wrap_cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  count_copy(kind);
  return __real_cudaMemcpy(to, from, bytes, kind);
}
cudaError_t __wrap_cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream) {
  count_copy(kind);
  return __real_cudaMemcpyAsync(to, from, bytes, kind, stream);
}
cudaError_t __wrap_cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                     std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  count_copy(kind);
  return __real_cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, stream);
}
cudaError_t __wrap_cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t stream) {
  ++counted.allocations;
  return __real_cudaMallocAsync(memory, bytes, stream);
}
cudaError_t __wrap_cudaMalloc(void** memory, std::size_t bytes) {
  ++counted.allocations;
  return __real_cudaMalloc(memory, bytes);
}
cudaError_t __wrap_cudaMallocHost(void** memory, std::size_t bytes) {
  ++counted.allocations;
  return __real_cudaMallocHost(memory, bytes);
}
cudaError_t __wrap_cudaFree(void* memory) {
  ++counted.frees;
  return __real_cudaFree(memory);
}
cudaError_t __wrap_cudaFreeHost(void* memory) {
  ++counted.frees;
  return __real_cudaFreeHost(memory);
}
cudaError_t __wrap_cudaFreeAsync(void* memory, cudaStream_t stream) {
  ++counted.frees;
  return __real_cudaFreeAsync(memory, stream);
}
cudaError_t __wrap_cudaEventSynchronize(cudaEvent_t event) {
  ++counted.waits;
  return __real_cudaEventSynchronize(event);
}
cudaError_t __wrap_cudaStreamSynchronize(cudaStream_t stream) {
  ++counted.waits;
  return __real_cudaStreamSynchronize(stream);
}
cudaError_t __wrap_cudaDeviceSynchronize() {
  ++counted.waits;
  return __real_cudaDeviceSynchronize();
}

}  // extern "C"

}  // namespace klmesh::loop
