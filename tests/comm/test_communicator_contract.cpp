// What every communicator promises, asked of every communicator of the host.
#include "comm/communicator_contract.hpp"

#include <optional>
#include <string>
#include <vector>

#include "comm/groups.hpp"

namespace klmesh {
namespace {

std::vector<GroupKind> kinds() {
  std::vector<GroupKind> all;
  for (const char* const name : testing_support::kGroupKinds)
    all.push_back({name, [](const char* kind) { return testing_support::make_group(kind); }});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Every, CommunicatorContract, testing::ValuesIn(kinds()),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace klmesh
