// Groups that fit in every size and rank and still are no grid: it takes eight ranks.
#include <gtest/gtest.h>

#include "comm/groups.hpp"

namespace klmesh {
namespace {

// Rows 01 and 23 are first rows, 45 and 67 second ones. But the columns 04, 17, 26, 35 lead from each first
// row to both second ones, so that no four ranks are closed.
TEST(CrossedGroups, AreNoGrid) {
  if (testing_support::world_size() != 8) GTEST_SKIP() << "takes eight";
  testing_support::expect_no_grid({0, 0, 1, 1, 2, 2, 3, 3}, {0, 1, 2, 3, 0, 3, 2, 1});
}

TEST(CrossedGroups, AreAGridWhenUncrossed) {
  if (testing_support::world_size() != 8) GTEST_SKIP() << "takes eight";
  const int rank = testing_support::world_rank();
  const testing_support::HostGroup vocab(rank / 2, rank);
  const testing_support::HostGroup batch(rank % 4, rank);
  const Mesh mesh = borrow_mesh(vocab.get(), batch.get());  // two meshes side by side
  EXPECT_EQ(mesh.shape(), (MeshShape{2, 2}));
  EXPECT_EQ(mesh.batch_part(), rank / 4);
}

}  // namespace
}  // namespace klmesh
