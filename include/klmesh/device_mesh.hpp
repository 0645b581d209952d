// The groups of a mesh for device data: one GPU per rank.
#pragma once

#include <chrono>
#include <memory>

#include "klmesh/device_communicator.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh {

/// World and vocabulary group of a rank, on its GPU. Move-only; owns its communicators.
class DeviceMesh {
 public:
  /// Assembles groups that are already made, for the mesh that carries the host's data.
  /// @param deadline seconds that wait() may last
  /// @throws InvalidArgument if one is null, unless sizes and ranks are those of `mesh`, or the groups are on different
  ///         devices; on this rank alone
  DeviceMesh(Mesh& mesh, std::unique_ptr<DeviceCommunicator> world, std::unique_ptr<DeviceCommunicator> vocab,
             std::chrono::duration<double> deadline = std::chrono::seconds(300));

  int device() const noexcept { return world_->device(); }
  DeviceCommunicator& world() noexcept { return *world_; }
  DeviceCommunicator& vocab() noexcept { return *vocab_; }

  /// Blocks until all that is on `stream` is done and neither group ever failed: only then do results count.
  /// @throws as DeviceCommunicator::wait(); both groups are then unusable
  void wait(StreamRef stream);

 private:
  std::unique_ptr<DeviceCommunicator> world_;
  std::unique_ptr<DeviceCommunicator> vocab_;
  std::chrono::duration<double> deadline_;
};

}  // namespace klmesh
