// The mesh of device communicators: two groups that fit the host's.
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
                       std::chrono::duration<double> deadline)
    : world_(std::move(world)), vocab_(std::move(vocab)), deadline_(deadline) {
  require_fit(world_.get(), mesh.world(), "the world");
  require_fit(vocab_.get(), mesh.vocab(), "the vocabulary group");
  if (world_->device() != vocab_->device())
    throw InvalidArgument(fmt::format("device mesh: the world is on device {}, the vocabulary group on device {}",
                                      world_->device(), vocab_->device()));
}

void DeviceMesh::wait(StreamRef stream) {
  const std::array<DeviceCommunicator*, 2> groups = {vocab_.get(), world_.get()};
  comm::wait_for_stream(stream, groups, deadline_);
}

}  // namespace klmesh
