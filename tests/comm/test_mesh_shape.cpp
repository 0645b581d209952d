#include <gmock/gmock.h>

#include "klmesh/error.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh {
namespace {

using ::testing::HasSubstr;

TEST(MeshShape, IsReadAndWritten) {
  EXPECT_EQ(parse_mesh_shape("2x4"), (MeshShape{2, 4}));
  EXPECT_EQ(parse_mesh_shape("1x1"), (MeshShape{1, 1}));
  EXPECT_EQ(parse_mesh_shape("1000x64"), (MeshShape{1000, 64}));
  EXPECT_EQ(to_string(MeshShape{3, 2}), "3x2");
  EXPECT_EQ(parse_mesh_shape(to_string(MeshShape{12, 8})), (MeshShape{12, 8}));
}

class BadMeshShape : public testing::TestWithParam<const char*> {};

TEST_P(BadMeshShape, IsRefusedByName) {
  try {
    parse_mesh_shape(GetParam());
    FAIL() << "accepted";
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr(std::string("\"") + GetParam() + "\""));
  }
}

INSTANTIATE_TEST_SUITE_P(All, BadMeshShape,
                         testing::Values("", "x", "2", "2x", "x2", "2x2x2", "2X2", "2*2", " 2x2", "2x2 ",
                                         "2 x 2", "+2x2", "0x2", "2x0", "-1x2", "2x-1", "1.5x2", "0x10x2",
                                         "1x65", "99999999999x1", "1x99999999999", "2147483647x2"));

TEST(DefaultMeshShape, GivesTheLargestPowerOfTwoToTheVocabulary) {
  EXPECT_EQ(default_mesh_shape(1, 1), (MeshShape{1, 1}));
  EXPECT_EQ(default_mesh_shape(4, 4), (MeshShape{1, 4}));
  EXPECT_EQ(default_mesh_shape(6, 6), (MeshShape{3, 2}));
  EXPECT_EQ(default_mesh_shape(3, 3), (MeshShape{3, 1}));
  EXPECT_EQ(default_mesh_shape(32, 8), (MeshShape{4, 8}));
  EXPECT_EQ(default_mesh_shape(24, 12), (MeshShape{6, 4}));
  EXPECT_EQ(default_mesh_shape(128, 128), (MeshShape{2, 64}));
}

TEST(DefaultMeshShape, AlwaysHasAllRanks) {
  for (int ranks = 1; ranks < 200; ++ranks)
    for (int node = 1; node < 20; ++node) EXPECT_EQ(default_mesh_shape(ranks, node).ranks(), ranks);
}

TEST(DefaultMeshShape, RefusesNonsense) {
  EXPECT_THROW(default_mesh_shape(0, 1), InvalidArgument);
  EXPECT_THROW(default_mesh_shape(4, 0), InvalidArgument);
}

}  // namespace
}  // namespace klmesh
