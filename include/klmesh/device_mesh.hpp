// The groups of a mesh for device data: one GPU per rank.
#pragma once

#include <chrono>
#include <memory>

#include "klmesh/device_communicator.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/operation_log.hpp"

namespace klmesh {

/// World, vocabulary group and batch group of a rank, on its GPU. Move-only; owns its communicators.
class DeviceMesh {
 public:
  /// Assembles groups that are already made, for the mesh that carries the host's data.
  /// @param deadline seconds that wait() may last
  /// @param log      told what wait() waits for; may be null, else must outlive this
  /// @throws InvalidArgument if one is null, unless sizes and ranks are those of `mesh`, or the groups are on different
  ///         devices; on this rank alone
  DeviceMesh(Mesh& mesh, std::unique_ptr<DeviceCommunicator> world, std::unique_ptr<DeviceCommunicator> vocab,
             std::unique_ptr<DeviceCommunicator> batch, std::chrono::duration<double> deadline = std::chrono::seconds(300),
             OperationLog* log = nullptr);

  int device() const noexcept { return world_->device(); }
  DeviceCommunicator& world() noexcept { return *world_; }
  DeviceCommunicator& vocab() noexcept { return *vocab_; }
  DeviceCommunicator& batch() noexcept { return *batch_; }

  /// Blocks until all that is on `stream` is done and no group ever failed: only then do results count.
  /// @throws as DeviceCommunicator::wait(); all groups are then unusable
  void wait(StreamRef stream);

  /// Ends what has not ended, so that streams do; all groups are then unusable. For who learns elsewhere that a peer is lost.
  void abort() noexcept;

 private:
  std::unique_ptr<DeviceCommunicator> world_;
  std::unique_ptr<DeviceCommunicator> vocab_;
  std::unique_ptr<DeviceCommunicator> batch_;
  std::chrono::duration<double> deadline_;
  OperationLog* log_;
};

}  // namespace klmesh
