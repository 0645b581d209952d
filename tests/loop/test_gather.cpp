#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "loop/gather.hpp"
#include "loop/meshes.hpp"

namespace klmesh::loop {
namespace {

TEST(GatherOwned, EveryRankGetsTheOwnersBits) {
  Mesh mesh = make_mesh({world_size(), 1});
  const std::vector<double> all{1.0 / 3.0,
                                -0.0,
                                -std::numeric_limits<double>::infinity(),
                                std::numeric_limits<double>::denorm_min(),
                                std::numeric_limits<double>::lowest(),
                                -1e-300,
                                7.0};
  std::vector<double> values(all.size(), 0.0);
  std::vector<std::int64_t> numbers(all.size(), 0);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (static_cast<int>(i) % world_size() != mesh.world().rank()) continue;
    values[i] = all[i];
    numbers[i] = -static_cast<std::int64_t>(i);
  }
  gather_owned(values, mesh.batch());
  gather_owned(numbers, mesh.batch());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(values[i]), std::bit_cast<std::uint64_t>(all[i])) << i;
    EXPECT_EQ(numbers[i], -static_cast<std::int64_t>(i));
  }
  std::vector<double> nothing;
  EXPECT_NO_THROW(gather_owned(nothing, mesh.batch()));
}

}  // namespace
}  // namespace klmesh::loop
