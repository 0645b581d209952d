// The queue that work is put on: a CUDA stream on the GPU back end, nothing on the CPU back end.
#pragma once

namespace klmesh {

/// A borrowed stream. Always the last argument, never defaulted, so that every call site says where it runs.
class StreamRef {
 public:
  /// @param handle a `cudaStream_t`; null is the host, where calls run to their end before they return
  explicit constexpr StreamRef(void* handle) noexcept : handle_(handle) {}
  StreamRef(int) = delete;  // a literal 0 would silently mean a stream

  constexpr void* get() const noexcept { return handle_; }
  constexpr bool is_host() const noexcept { return handle_ == nullptr; }

 private:
  void* handle_;
};

/// The stream of the CPU back end: calls are complete when they return.
inline constexpr StreamRef host_stream{static_cast<void*>(nullptr)};

}  // namespace klmesh
