// The mesh of device communicators: three groups that fit the host's.
#include "klmesh/device_mesh.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "comm/nccl/stream_wait.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

void require_fit(const DeviceCommunicator* group, const Communicator& host, std::string_view name) {
  if (group == nullptr) throw InvalidArgument(fmt::format("device mesh: the communicator of {} is null", name));
  if (group->rank() != host.rank() || group->size() != host.size())
    throw InvalidArgument(fmt::format("device mesh: the communicator of {} has rank {} of {}, the mesh has rank {} of {}",
                                      name, group->rank(), group->size(), host.rank(), host.size()));
}

}  // namespace

DeviceMesh::DeviceMesh(Mesh& mesh, std::unique_ptr<DeviceCommunicator> world, std::unique_ptr<DeviceCommunicator> vocab,
                       std::unique_ptr<DeviceCommunicator> batch, std::chrono::duration<double> deadline,
                       OperationLog* log)
    : world_(std::move(world)), vocab_(std::move(vocab)), batch_(std::move(batch)), deadline_(deadline),
      log_(log) {
  require_fit(world_.get(), mesh.world(), "the world");
  require_fit(vocab_.get(), mesh.vocab(), "the vocabulary group");
  require_fit(batch_.get(), mesh.batch(), "the batch group");
  if (world_->device() != vocab_->device() || world_->device() != batch_->device())
    throw InvalidArgument(
        fmt::format("device mesh: the world is on device {}, the vocabulary group on device {}, the batch group on device {}",
                    world_->device(), vocab_->device(), batch_->device()));
}

void DeviceMesh::abort() noexcept {
  for (DeviceCommunicator* const group : {vocab_.get(), batch_.get(), world_.get()}) group->abort();
}

void DeviceMesh::wait(StreamRef stream) {
  const std::array<DeviceCommunicator*, 3> groups = {vocab_.get(), batch_.get(), world_.get()};
  comm::wait_for_stream(stream, groups, deadline_, log_);
}

}  // namespace klmesh
