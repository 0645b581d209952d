// Waiting for a stream that groups of ranks exchange on.
#pragma once

#include <chrono>
#include <span>

#include "klmesh/device_communicator.hpp"
#include "klmesh/operation_log.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::comm {

/// Blocks until all that is on `stream` is done and no group ever failed. If one did, or the deadline passes, all are
/// aborted, so that the stream ends. The log, if there is one, is told the oldest operation that is waited for.
/// @throws InvalidArgument for host_stream and a stream that is being captured, before anything; as
///         DeviceCommunicator::wait()
void wait_for_stream(StreamRef stream, std::span<DeviceCommunicator* const> groups,
                     std::chrono::duration<double> deadline, OperationLog* log);

}  // namespace klmesh::comm
