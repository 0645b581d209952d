#include "comm/nccl/stream_wait.hpp"

#include <fmt/format.h>

#include <string>

#include "comm/nccl/poll_until.hpp"
#include "core/cuda/cuda_check.hpp"
#include "klmesh/error.hpp"

namespace klmesh::comm {
namespace {

void poll_all(std::span<DeviceCommunicator* const> groups) {
  for (DeviceCommunicator* const group : groups) group->poll();
}

void abort_all(std::span<DeviceCommunicator* const> groups) noexcept {
  for (DeviceCommunicator* const group : groups) group->abort();
}

bool is_done(StreamRef stream, std::span<DeviceCommunicator* const> groups) {
  const cudaError_t code = cudaStreamQuery(cuda::native(stream));
  // The groups first: if one failed, what the stream says is a consequence. And a result counts only if none did.
  poll_all(groups);
  if (code == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // stays the last error otherwise
    return false;
  }
  cuda::check(code, "cudaStreamQuery");
  return true;
}

std::string first_outstanding(std::span<DeviceCommunicator* const> groups) {
  for (const DeviceCommunicator* const group : groups) {
    if (std::string operation = group->outstanding(); !operation.empty()) return operation;
  }
  return {};
}

}  // namespace

void wait_for_stream(StreamRef stream, std::span<DeviceCommunicator* const> groups,
                     std::chrono::duration<double> deadline) {
  if (stream.is_host()) throw InvalidArgument("wait: host_stream is no stream of a device");
  try {
    const auto waited = poll_until([&] { return is_done(stream, groups); }, deadline);
    if (!waited) {
      for (DeviceCommunicator* const group : groups) group->note_done(stream);
      return;
    }
    const std::string operation = first_outstanding(groups);
    if (operation.empty())
      throw DeadlineExceeded(fmt::format("work on the device was not complete after {:.1f} s", waited->count()));
    throw DeadlineExceeded(fmt::format("{} was not complete after {:.1f} s: a peer is lost, stopped or elsewhere",
                                       operation, waited->count()));
  } catch (...) {
    abort_all(groups);
    throw;
  }
}

}  // namespace klmesh::comm
