#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "loop/gather.hpp"
#include "loop/meshes.hpp"

namespace klmesh::loop {
namespace {

TEST(GatherOwned, EveryRankGetsTheOwnersNumbers) {
  Mesh mesh = make_mesh({world_size(), 1});
  constexpr std::int64_t kAll = 7;
  std::vector<std::int64_t> numbers(kAll, 0);
  for (std::int64_t i = 0; i < kAll; ++i) {
    if (i % world_size() == mesh.world().rank()) numbers[static_cast<std::size_t>(i)] = -i;
  }
  gather_owned(numbers, mesh.batch());
  EXPECT_THAT(numbers, ::testing::ElementsAre(0, -1, -2, -3, -4, -5, -6));
  std::vector<std::int64_t> nothing;
  EXPECT_NO_THROW(gather_owned(nothing, mesh.batch()));
}

}  // namespace
}  // namespace klmesh::loop
