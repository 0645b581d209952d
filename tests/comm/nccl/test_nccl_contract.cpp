// What every communicator promises, asked of NCCL's.
#include "comm/communicator_contract.hpp"

#include <memory>
#include <optional>
#include <string>

#include "comm/nccl/gpu_world.hpp"
#include "comm/nccl/staged.hpp"

namespace klmesh {
namespace {

std::optional<testing_support::Group> staged_nccl(const char*) {
  return testing_support::Group(std::make_unique<testing_support::StagedCommunicator>(testing_support::make_nccl_world()));
}

INSTANTIATE_TEST_SUITE_P(Every, CommunicatorContract, testing::Values(GroupKind{"nccl", staged_nccl}),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace klmesh
