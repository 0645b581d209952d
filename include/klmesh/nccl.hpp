// Device communicators over NCCL, made or borrowed. No CUDA or NCCL header is needed: handles are opaque.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "klmesh/communicator.hpp"
#include "klmesh/device_communicator.hpp"
#include "klmesh/device_mesh.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/operation_log.hpp"

namespace klmesh {

struct NcclOptions {
  /// Seconds, for every single wait; must be positive.
  std::chrono::duration<double> deadline{300.0};
  /// How messages call the group, as in "rank 1 of 2 in the vocabulary group".
  std::string name = "the group";
  /// Told what the host does for the group and waits for, as CommunicatorOptions::log is: a watchdog then finds what a
  /// call is blocked in that does not come back to look at its deadline. May be null, else must outlive the group.
  OperationLog* log = nullptr;
};

/// Makes a communicator of the ranks of `host`, which carries the unique id. Collective over `host`.
///
/// NCCL is initialised without blocking and polled against the deadline. Its destructor ends the communicator in order
/// if nothing is outstanding, and aborts it otherwise: wait() first.
/// @param device this rank's GPU; every rank has another one
/// @throws InvalidArgument on every rank, if the options or the device of one are wrong; NcclError, DeadlineExceeded
std::unique_ptr<DeviceCommunicator> make_nccl_communicator(Communicator& host, int device,
                                                           const NcclOptions& options = {});

/// Borrows a communicator of the host's. Collective over `host`.
///
/// Never destroyed and never aborted here: if an operation fails, that is left to the owner, and the stream may not end
/// before.
/// @param comm an `ncclComm_t` whose ranks are those of `host`, on `device`; must outlive what is returned
/// @throws InvalidArgument on every rank, unless rank, size and device of all fit; NcclError if one has failed already
std::unique_ptr<DeviceCommunicator> borrow_nccl_communicator(void* comm, Communicator& host, int device,
                                                             const NcclOptions& options = {});

/// World, vocabulary group and batch group of `mesh`, made. Collective over its world.
/// @param options name is not used: the groups are called by what they are
/// @throws as make_nccl_communicator()
DeviceMesh make_nccl_mesh(Mesh& mesh, int device, const NcclOptions& options = {});

}  // namespace klmesh
