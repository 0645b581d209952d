// This rank's GPU and the host's group of all ranks.
#pragma once

#include <memory>

#include "comm/groups.hpp"
#include "klmesh/device.hpp"
#include "klmesh/mpi.hpp"
#include "klmesh/nccl.hpp"

namespace klmesh::testing_support {

/// The device of this rank; bound once a program. Collective over MPI_COMM_WORLD at its first call.
inline int own_device() {
  static const int device = [] {
    const auto world = borrow_communicator(MPI_COMM_WORLD);
    return bind_device(*world, node_placement(MPI_COMM_WORLD));
  }();
  return device;
}

/// All ranks over NCCL. Collective over MPI_COMM_WORLD.
inline std::unique_ptr<DeviceCommunicator> make_nccl_world(const NcclOptions& options = {}) {
  const auto world = borrow_communicator(MPI_COMM_WORLD);
  return make_nccl_communicator(*world, own_device(), options);
}

}  // namespace klmesh::testing_support
