#include "comm/nccl/nccl_communicator.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "comm/checks.hpp"
#include "comm/nccl/bounded_run.hpp"
#include "comm/nccl/device_guard.hpp"
#include "comm/nccl/nccl_check.hpp"
#include "comm/nccl/poll_until.hpp"
#include "comm/nccl/stream_wait.hpp"
#include "klmesh/error.hpp"

namespace klmesh::comm {
namespace {

/// An NCCL group of calls, which are enqueued together. Left by an exception, the group is closed all the same: it belongs
/// to the thread.
class CallGroup {
 public:
  CallGroup() { check(ncclGroupStart(), "ncclGroupStart"); }
  ~CallGroup() {
    if (open_) static_cast<void>(ncclGroupEnd());
  }
  CallGroup(const CallGroup&) = delete;
  CallGroup& operator=(const CallGroup&) = delete;

  void close() {
    open_ = false;
    check(ncclGroupEnd(), "ncclGroupEnd");
  }

 private:
  bool open_ = true;
};

ncclResult_t async_state(ncclComm_t comm) {
  ncclResult_t state = ncclSuccess;
  check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
  return state;
}

// NCCL does not give up a communicator that a graph has captured before the graph is destroyed, not even by abort: that ends
// what runs, and then waits. Whoever aborts because a peer is lost may be the one who would destroy the graph.
constexpr std::chrono::duration<double> kAbortPatience{0.5};

// As long as the peers do the same; else by abort, which waits for nobody.
void end_in_order(ncclComm_t comm, int device, std::chrono::duration<double> deadline) noexcept {
  try {
    const DeviceGuard guard(device);
    check(ncclCommFinalize(comm), "ncclCommFinalize");
    const ncclResult_t state = settled_state(comm, deadline);
    check(state, "ncclCommFinalize");
    if (state == ncclSuccess) {
      check(ncclCommDestroy(comm), "ncclCommDestroy");
      return;
    }
  } catch (const Error&) {  // a destructor has nobody to tell
  }
  static_cast<void>(ncclCommAbort(comm));
}

}  // namespace

ncclResult_t settled_state(ncclComm_t comm, std::chrono::duration<double> deadline) {
  ncclResult_t state = ncclInProgress;
  static_cast<void>(poll_until([&] { return (state = async_state(comm)) != ncclInProgress; }, deadline));
  return state;
}

NcclCommunicator::NcclCommunicator(ncclComm_t comm, Ownership ownership, const NcclOptions& options)
    : comm_(comm), ownership_(ownership), options_(options) {
  check(ncclCommUserRank(comm_, &rank_), "ncclCommUserRank");
  check(ncclCommCount(comm_, &size_), "ncclCommCount");
  check(ncclCommCuDevice(comm_, &device_), "ncclCommCuDevice");
}

NcclCommunicator::~NcclCommunicator() {
  if (!usable_ || ownership_ == Ownership::borrowed) return;
  if (trail_.first_unfinished().sequence != 0) {
    abort();
    return;
  }
  const auto end = [comm = comm_, device = device_, deadline = options_.deadline] { end_in_order(comm, device, deadline); };
  if (trail_.captured()) {
    bounded_run(end, options_.deadline);
  } else {
    end();
  }
}

void NcclCommunicator::all_gather(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) {
  require_gather_sizes(send.size(), receive.size(), size_);
  run("all_gather", stream, [&] {
    if (send.empty()) return;
    check(ncclAllGather(send.data(), receive.data(), send.size(), ncclUint8, comm_, cuda::native(stream)),
          "ncclAllGather");
  });
}

void NcclCommunicator::all_to_all(std::span<const std::byte> send, std::span<std::byte> receive, StreamRef stream) {
  require_exchange_sizes(send.size(), receive.size(), size_);
  const std::size_t block = send.size() / static_cast<std::size_t>(size_);
  run("all_to_all", stream, [&] {
    if (block == 0) return;
    CallGroup group;
    for (int peer = 0; peer < size_; ++peer) {
      const std::size_t at = static_cast<std::size_t>(peer) * block;
      check(ncclSend(send.data() + at, block, ncclUint8, peer, comm_, cuda::native(stream)), "ncclSend");
      check(ncclRecv(receive.data() + at, block, ncclUint8, peer, comm_, cuda::native(stream)), "ncclRecv");
    }
    group.close();
  });
}

void NcclCommunicator::all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t> maxima, StreamRef stream) {
  run("all_reduce", stream, [&] {
    CallGroup group;
    // As unsigned numbers: their sums wrap by definition, and the bits are those of the signed ones.
    if (!sums.empty())
      check(ncclAllReduce(sums.data(), sums.data(), sums.size(), ncclUint64, ncclSum, comm_, cuda::native(stream)),
            "ncclAllReduce");
    if (!maxima.empty())
      check(ncclAllReduce(maxima.data(), maxima.data(), maxima.size(), ncclUint64, ncclMax, comm_,
                          cuda::native(stream)),
            "ncclAllReduce");
    group.close();
  });
}

void NcclCommunicator::wait(StreamRef stream) {
  poll();
  const std::array<DeviceCommunicator*, 1> self = {this};
  wait_for_stream(stream, self, options_.deadline, options_.log);
}

void NcclCommunicator::poll() {
  if (!usable_) throw CommunicationError(failure("an earlier operation of this group failed"));
  const ncclResult_t state = async_state(comm_);
  if (state == ncclSuccess || state == ncclInProgress) return;
  const std::string message = failure(fmt::format("{} ({})", ncclGetErrorString(state), ncclGetLastError(comm_)));
  abort();
  throw NcclError(message);
}

void NcclCommunicator::abort() noexcept {
  if (!std::exchange(usable_, false) || ownership_ == Ownership::borrowed) return;
  if (trail_.captured()) {
    bounded_run([comm = comm_] { static_cast<void>(ncclCommAbort(comm)); }, kAbortPatience);
  } else {
    static_cast<void>(ncclCommAbort(comm_));
  }
}

DeviceCommunicator::Operation NcclCommunicator::unfinished() const {
  const OperationTrail::Operation operation = trail_.first_unfinished();
  return {operation.name, operation.sequence};
}

std::string NcclCommunicator::outstanding() const {
  const OperationTrail::Operation operation = trail_.first_unfinished();
  return operation.sequence == 0 ? std::string() : described(operation);
}

// What goes wrong here leaves peers behind that have, or have not, enqueued the same: the group is of no use any more.
template <typename Enqueue>
void NcclCommunicator::run(const char* operation, StreamRef stream, Enqueue&& enqueue) {
  if (stream.is_host()) throw InvalidArgument(fmt::format("{}: host_stream is no stream of a device", operation));
  poll();
  trail_.begin(operation);
  const OperationLog::Scope scope(options_.log, operation, trail_.last().sequence);
  try {
    enqueue();
    settle();
    const DeviceGuard guard(device_);
    trail_.end(stream);
  } catch (const DeadlineExceeded&) {
    abort();
    throw;
  } catch (const NcclError& error) {
    const std::string message = failure(error.what());
    abort();
    throw NcclError(message);
  } catch (...) {
    abort();
    throw;
  }
}

// A communicator that does not block answers at once and connects to its peers behind our back.
void NcclCommunicator::settle() {
  const ncclResult_t state = settled_state(comm_, options_.deadline);
  if (state == ncclInProgress)
    throw DeadlineExceeded(fmt::format("{} did not start within {:.1f} s: a peer is lost, stopped or elsewhere",
                                       described(trail_.last()), options_.deadline.count()));
  check(state, trail_.last().name);
}

std::string NcclCommunicator::described(const OperationTrail::Operation& operation) const {
  return fmt::format("rank {} of {} in {}: {} number {}", rank_, size_, options_.name, operation.name,
                     operation.sequence);
}

std::string NcclCommunicator::failure(std::string_view what) const {
  OperationTrail::Operation operation = trail_.first_unfinished();
  if (operation.sequence == 0) operation = trail_.last();
  return fmt::format("{}: {}", described(operation), what);
}

}  // namespace klmesh::comm
