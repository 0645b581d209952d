// Communicators of NCCL out of what the host has: a group to carry the unique id, or a communicator of its own.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>

#include "comm/agreement.hpp"
#include "comm/nccl/device_guard.hpp"
#include "comm/nccl/nccl_check.hpp"
#include "comm/nccl/nccl_communicator.hpp"
#include "klmesh/device.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

using comm::check;
using comm::NcclCommunicator;
using comm::Ownership;

void require_options(const NcclOptions& options, int device) {
  if (!(options.deadline.count() > 0))  // false for NaN too
    throw InvalidArgument(
        fmt::format("the deadline of a communicator is {} s, not positive", options.deadline.count()));
  const auto count = static_cast<int>(devices().size());
  if (device < 0 || device >= count)
    throw InvalidArgument(fmt::format("there is no device {} among the {} that this process sees", device, count));
}

/// The id of rank 0's making.
ncclUniqueId shared_id(Communicator& host) {
  ncclUniqueId id{};
  agree(host, "make_nccl_communicator", 0, failure_of([&] {
          if (host.rank() == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
        }));
  host.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
  return id;
}

/// Comes up while polled, so that a peer that does not come costs no more than the deadline.
ncclComm_t initialised(const ncclUniqueId& id, int rank, int size, const NcclOptions& options) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  const OperationLog::Scope operation(options.log, "ncclCommInitRankConfig");
  check(ncclCommInitRankConfig(&comm, size, id, rank, &config), "ncclCommInitRankConfig");
  const ncclResult_t state = comm::settled_state(comm, options.deadline);
  if (state == ncclSuccess) return comm;
  static_cast<void>(ncclCommAbort(comm));
  if (state == ncclInProgress)
    throw DeadlineExceeded(fmt::format("rank {} of {} in {}: the initialisation of NCCL was not complete after {:.1f} s",
                                       rank, size, options.name, options.deadline.count()));
  check(state, fmt::format("rank {} of {} in {}: ncclCommInitRankConfig", rank, size, options.name));
  return nullptr;  // not reached
}

void require_fit(void* handle, const Communicator& host, int device) {
  if (handle == nullptr) throw InvalidArgument("borrow_nccl_communicator: the communicator is null");
  const auto comm = static_cast<ncclComm_t>(handle);
  ncclResult_t state = ncclSuccess;
  check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
  check(state, "borrow_nccl_communicator: the communicator has failed");
  int rank = 0, size = 0, its_device = 0;
  check(ncclCommUserRank(comm, &rank), "ncclCommUserRank");
  check(ncclCommCount(comm, &size), "ncclCommCount");
  check(ncclCommCuDevice(comm, &its_device), "ncclCommCuDevice");
  if (rank != host.rank() || size != host.size())
    throw InvalidArgument(fmt::format("borrow_nccl_communicator: it has rank {} of {}, the group has rank {} of {}", rank,
                                      size, host.rank(), host.size()));
  if (its_device != device)
    throw InvalidArgument(
        fmt::format("borrow_nccl_communicator: it sits on device {}, not on device {}", its_device, device));
}

}  // namespace

std::unique_ptr<DeviceCommunicator> make_nccl_communicator(Communicator& host, int device,
                                                           const NcclOptions& options) {
  std::optional<comm::DeviceGuard> guard;
  agree(host, "make_nccl_communicator", 0, failure_of([&] {
          require_options(options, device);
          guard.emplace(device);
        }));
  const ncclUniqueId id = shared_id(host);
  std::unique_ptr<DeviceCommunicator> made;
  agree(host, "make_nccl_communicator", 0, failure_of([&] {
          const ncclComm_t comm = initialised(id, host.rank(), host.size(), options);
          made = std::make_unique<NcclCommunicator>(comm, Ownership::owned, options);
        }));
  return made;
}

std::unique_ptr<DeviceCommunicator> borrow_nccl_communicator(void* handle, Communicator& host, int device,
                                                             const NcclOptions& options) {
  std::unique_ptr<DeviceCommunicator> borrowed;
  agree(host, "borrow_nccl_communicator", 0, failure_of([&] {
          require_options(options, device);
          require_fit(handle, host, device);
          const comm::DeviceGuard guard(device);
          borrowed = std::make_unique<NcclCommunicator>(static_cast<ncclComm_t>(handle), Ownership::borrowed, options);
        }));
  return borrowed;
}

DeviceMesh make_nccl_mesh(Mesh& mesh, int device, const NcclOptions& options) {
  const int world_rank = mesh.world().rank();
  const NcclOptions world_options{options.deadline, "the world", options.log};
  const NcclOptions vocab_options{options.deadline, fmt::format("the vocabulary group of world rank {}", world_rank),
                                  options.log};
  const NcclOptions batch_options{options.deadline, fmt::format("the batch group of world rank {}", world_rank),
                                  options.log};
  auto world = make_nccl_communicator(mesh.world(), device, world_options);
  auto vocab = make_nccl_communicator(mesh.vocab(), device, vocab_options);
  auto batch = make_nccl_communicator(mesh.batch(), device, batch_options);
  return {mesh, std::move(world), std::move(vocab), std::move(batch), options.deadline, options.log};
}

}  // namespace klmesh
