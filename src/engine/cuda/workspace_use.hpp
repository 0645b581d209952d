// One workspace, used by calls on several streams: one after the other.
#pragma once

#include <cuda_runtime_api.h>

#include <optional>

#include "comm/nccl/capture.hpp"
#include "core/cuda/cuda_check.hpp"
#include "engine/cuda/owned_stream.hpp"
#include "klmesh/device_mesh.hpp"
#include "klmesh/stream.hpp"

namespace klmesh {

/// An event behind the last use. A stream that is captured neither waits for it nor records it: a graph cannot wait for what
/// is outside, and its replays are ordered by who launches them. Made by reserve(); calls make nothing.
class WorkspaceUse {
 public:
  WorkspaceUse() = default;
  ~WorkspaceUse() {  // a destructor has nobody to tell
    if (last_ != nullptr) static_cast<void>(cudaEventDestroy(last_));
  }
  WorkspaceUse(const WorkspaceUse&) = delete;
  WorkspaceUse& operator=(const WorkspaceUse&) = delete;

  /// On the current device.
  void reserve() {
    if (last_ == nullptr) cuda::check(cudaEventCreateWithFlags(&last_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    if (!waiting_) waiting_.emplace();
  }

  /// All that comes on `stream` waits for the last use. It may be of the same stream: handles are used again.
  void begin(StreamRef stream) {
    if (used_ && !comm::is_capturing(stream)) wait_on(stream);
  }
  void end(StreamRef stream) {
    if (comm::is_capturing(stream)) return;
    cuda::check(cudaEventRecord(last_, cuda::native(stream)), "cudaEventRecord");
    used_ = true;
  }

  /// Blocks until the last use is over, as devices.wait() does: before memory is freed, which would wait for the device
  /// without a deadline. The stream of the use may be gone by now, so a stream of its own waits.
  void finish(DeviceMesh& devices) {
    if (!used_) return;
    used_ = false;  // once: what failed will not be waited for again
    wait_on(waiting_->ref());
    devices.wait(waiting_->ref());
  }

 private:
  void wait_on(StreamRef stream) {
    cuda::check(cudaStreamWaitEvent(cuda::native(stream), last_, 0), "cudaStreamWaitEvent");
  }

  cudaEvent_t last_ = nullptr;
  bool used_ = false;
  std::optional<OwnedStream> waiting_;
};

}  // namespace klmesh
