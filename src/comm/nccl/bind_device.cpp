// One GPU for each rank, and none for two.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/nccl/device_code.hpp"
#include "core/cuda/cuda_check.hpp"
#include "klmesh/device.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

/// What the others need to know of a rank's choice.
struct Choice {
  std::array<unsigned char, 16> uuid{};
  std::int32_t visible = 0;        // GPUs that the rank sees
  std::int32_t ranks_on_node = 0;  // 0 if unknown
};

void require_device(const std::vector<DeviceInfo>& visible) {
  if (visible.empty()) throw BackendUnavailable("no GPU answers: none is visible, or there is no working driver");
}

/// The first two ranks with the same GPU end it, on every rank alike.
void require_own_devices(std::span<const Choice> all) {
  for (std::size_t later = 0; later < all.size(); ++later) {
    const auto same = [&](const Choice& other) { return other.uuid == all[later].uuid; };
    const auto found = std::find_if(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(later), same);
    if (found == all.begin() + static_cast<std::ptrdiff_t>(later)) continue;
    const Choice& choice = all[later];
    throw BackendUnavailable(fmt::format(
        "more ranks than GPUs: ranks {} and {} would share one; {} ranks are on their node, each sees {} GPU{}. Start at "
        "most one rank per GPU",
        found - all.begin(), later, choice.ranks_on_node, choice.visible, choice.visible == 1 ? "" : "s"));
  }
}

void require_code(const DeviceInfo& device) {
  if (comm::has_code_for_device()) return;
  throw BackendUnavailable(fmt::format("this build has no code for GPU {}, {} of compute capability {}.{}", device.index,
                                       device.name, device.compute_major, device.compute_minor));
}

}  // namespace

int bind_device(Communicator& world, NodePlacement place) {
  Choice mine;
  DeviceInfo chosen;
  agree(world, "bind_device", 0, failure_of([&] {
          const std::vector<DeviceInfo> visible = devices();
          require_device(visible);
          chosen = visible[static_cast<std::size_t>(place.rank) % visible.size()];
          mine = {chosen.uuid, static_cast<std::int32_t>(visible.size()), place.ranks};
        }));
  std::vector<Choice> all(static_cast<std::size_t>(world.size()));
  world.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  require_own_devices(all);
  agree(world, "bind_device", 0, failure_of([&] {
          cuda::check(cudaSetDevice(chosen.index), "cudaSetDevice");
          require_code(chosen);
        }));
  return chosen.index;
}

}  // namespace klmesh
