#include "comm/nccl/stream_wait.hpp"

#include <fmt/format.h>

#include <string>

#include "comm/nccl/capture.hpp"
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

// Who gets the error frees what the stream still works with: an aborted exchange ends within milliseconds, and the rest of
// the stream after it. A borrowed group is not aborted, so this has an end of its own.
void drain(StreamRef stream) noexcept {
  constexpr Seconds kPatience{0.5};
  static_cast<void>(poll_until([&] { return cudaStreamQuery(cuda::native(stream)) != cudaErrorNotReady; }, kPatience));
  static_cast<void>(cudaGetLastError());
}

DeviceCommunicator::Operation first_unfinished(std::span<DeviceCommunicator* const> groups) {
  for (const DeviceCommunicator* const group : groups) {
    if (const auto operation = group->unfinished(); operation.number != 0) return operation;
  }
  return {"work on the device", 0};
}

std::string first_outstanding(std::span<DeviceCommunicator* const> groups) {
  for (const DeviceCommunicator* const group : groups) {
    if (std::string operation = group->outstanding(); !operation.empty()) return operation;
  }
  return {};
}

}  // namespace

void wait_for_stream(StreamRef stream, std::span<DeviceCommunicator* const> groups,
                     std::chrono::duration<double> deadline, OperationLog* log) {
  if (stream.is_host()) throw InvalidArgument("wait: host_stream is no stream of a device");
  if (is_capturing(stream)) throw InvalidArgument("wait: the stream is being captured");  // a query would end the capture
  const DeviceCommunicator::Operation waited_for = log == nullptr ? DeviceCommunicator::Operation{} : first_unfinished(groups);
  const OperationLog::Scope scope(log, waited_for.name, waited_for.number);
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
    drain(stream);
    throw;
  }
}

}  // namespace klmesh::comm
