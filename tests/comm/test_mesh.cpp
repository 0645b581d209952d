#include <gmock/gmock.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/groups.hpp"
#include "klmesh/error.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh {
namespace {

using testing_support::borrow_groups;
using testing_support::HostGroup;
using testing_support::world_rank;
using testing_support::world_size;

std::vector<std::uint64_t> gather_ranks(Communicator& group) {
  const auto mine = static_cast<std::uint64_t>(world_rank());
  std::vector<std::uint64_t> ranks(static_cast<std::size_t>(group.size()));
  group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(ranks)));
  return ranks;
}

/// Vocabulary fastest: the row and the column of the world's ranks that cross at this one.
void expect_order(Mesh& mesh, MeshShape shape) {
  EXPECT_EQ(mesh.shape(), shape);
  EXPECT_EQ(mesh.batch_part(), world_rank() / shape.vocab);
  EXPECT_EQ(mesh.vocab_part(), world_rank() % shape.vocab);
  std::vector<std::uint64_t> world, row, column;
  for (int r = 0; r < shape.ranks(); ++r) {
    world.push_back(static_cast<std::uint64_t>(r));
    if (r / shape.vocab == mesh.batch_part()) row.push_back(static_cast<std::uint64_t>(r));
    if (r % shape.vocab == mesh.vocab_part()) column.push_back(static_cast<std::uint64_t>(r));
  }
  EXPECT_EQ(gather_ranks(mesh.world()), world);
  EXPECT_EQ(gather_ranks(mesh.vocab()), row);
  EXPECT_EQ(gather_ranks(mesh.batch()), column);
}

std::vector<MeshShape> shapes() {
  std::vector<MeshShape> all;
  for (int vocab = 1; vocab <= world_size(); ++vocab)
    if (world_size() % vocab == 0) all.push_back({world_size() / vocab, vocab});
  return all;
}

TEST(Mesh, SelfIsOneByOne) {
  Mesh mesh = Mesh::self();
  EXPECT_EQ(mesh.shape(), (MeshShape{1, 1}));
  EXPECT_EQ(mesh.world().size(), 1);
}

TEST(Mesh, OfTheWorldHasVocabularyFastest) {
  for (const MeshShape shape : shapes()) {
    Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shape);
    expect_order(mesh, shape);
  }
}

TEST(Mesh, OfTwoGroupsHasVocabularyFastest) {
  for (const MeshShape shape : shapes()) {
    Mesh mesh = borrow_groups(shape);
    expect_order(mesh, shape);
  }
}

TEST(Mesh, StaysUsableWhenMoved) {
  Mesh mesh = borrow_groups(shapes().back());
  Mesh moved = std::move(mesh);
  expect_order(moved, shapes().back());
  moved = borrow_mesh(MPI_COMM_WORLD, shapes().front());
  expect_order(moved, shapes().front());
}

TEST(Mesh, ChecksThatItsGroupsFit) {
  EXPECT_THROW(Mesh(nullptr, make_self_communicator(), make_self_communicator()), InvalidArgument);
  const auto world = [] { return borrow_communicator(MPI_COMM_WORLD); };
  EXPECT_NO_THROW(Mesh(world(), world(), make_self_communicator()));
  if (world_size() == 1) return;
  EXPECT_THROW(Mesh(world(), make_self_communicator(), make_self_communicator()), InvalidArgument);
  EXPECT_THROW(Mesh(make_self_communicator(), world(), make_self_communicator()), InvalidArgument);
  if (world_size() != 4) return;
  // Batch fastest: the sizes fit, the ranks only at the corners.
  const HostGroup vocab(world_rank() % 2, world_rank());
  const HostGroup batch(world_rank() / 2, world_rank());
  auto row = borrow_communicator(vocab.get());
  auto column = borrow_communicator(batch.get());
  auto all = world();
  const bool corner = world_rank() == 0 || world_rank() == 3;
  if (corner)
    EXPECT_NO_THROW(Mesh(std::move(all), std::move(row), std::move(column)));
  else
    EXPECT_THROW(Mesh(std::move(all), std::move(row), std::move(column)), InvalidArgument);
}

TEST(Mesh, RefusesShapesThatDoNotFit) {
  const int n = world_size();
  for (const MeshShape shape : {MeshShape{n, 2}, MeshShape{n + 1, 1}, MeshShape{0, n}, MeshShape{-1, -n},
                                MeshShape{1, 65}, MeshShape{1 << 20, 64}})
    EXPECT_THROW(borrow_mesh(MPI_COMM_WORLD, shape), InvalidArgument) << to_string(shape);
}

TEST(Mesh, RefusesShapesThatDifferBetweenRanks) {
  const int n = world_size();
  if (n == 1) GTEST_SKIP() << "takes two";
  EXPECT_THROW(borrow_mesh(MPI_COMM_WORLD, world_rank() == 1 ? MeshShape{1, n} : MeshShape{n, 1}),
               InvalidData);
  EXPECT_THROW(borrow_mesh(MPI_COMM_WORLD, world_rank() == 1 ? MeshShape{7, 7} : MeshShape{n, 1}),
               InvalidArgument);
}

TEST(Mesh, RefusesNullCommunicators) {
  EXPECT_THROW(borrow_communicator(MPI_COMM_NULL), InvalidArgument);
  EXPECT_THROW(borrow_mesh(MPI_COMM_NULL, MeshShape{1, 1}), InvalidArgument);
  EXPECT_THROW(borrow_mesh(MPI_COMM_NULL, MPI_COMM_SELF), InvalidArgument);
}

TEST(Mesh, LeavesTheErrorHandlerOfTheHostAlone) {
  MPI_Errhandler before = MPI_ERRHANDLER_NULL, after = MPI_ERRHANDLER_NULL;
  EXPECT_EQ(MPI_Comm_get_errhandler(MPI_COMM_WORLD, &before), MPI_SUCCESS);
  const Mesh mesh = borrow_mesh(MPI_COMM_WORLD, shapes().front());
  EXPECT_EQ(MPI_Comm_get_errhandler(MPI_COMM_WORLD, &after), MPI_SUCCESS);
  EXPECT_EQ(before, after);
  EXPECT_EQ(MPI_Errhandler_free(&before), MPI_SUCCESS);
  EXPECT_EQ(MPI_Errhandler_free(&after), MPI_SUCCESS);
}

TEST(DefaultMesh, OfOneNodeGivesItAllToTheVocabularyIfItCan) {
  constexpr std::array<MeshShape, 5> kExpected = {MeshShape{}, {1, 1}, {1, 2}, {3, 1}, {1, 4}};
  if (world_size() > 4) GTEST_SKIP() << "up to four ranks";
  EXPECT_EQ(default_mesh_shape(MPI_COMM_WORLD), kExpected[static_cast<std::size_t>(world_size())]);
}

TEST(MeshOfTwoGroups, RefusesWhatIsNoGridOnEveryRank) {
  if (world_size() == 2) testing_support::expect_no_grid({0, 0}, {0, 0});
  if (world_size() == 3) {
    testing_support::expect_no_grid({0, 0, 0}, {0, 0, 1});
    testing_support::expect_no_grid({0, 0, 1}, {0, 1, 0});
  }
  if (world_size() != 4) return;
  testing_support::expect_no_grid({0, 0, 0, 0}, {0, 0, 0, 0});  // the same group twice
  testing_support::expect_no_grid({0, 0, 0, 1}, {0, 1, 2, 0});  // rows of different lengths
  testing_support::expect_no_grid({0, 0, 1, 1}, {0, 0, 1, 1});  // a row given as column
}

TEST(MeshOfTwoGroups, RefusesColumnsInAnotherOrder) {
  if (world_size() != 4) GTEST_SKIP() << "takes four";
  const HostGroup vocab(world_rank() / 2, world_rank());
  const HostGroup batch(world_rank() % 2, world_rank() % 2 == 0 ? world_rank() : -world_rank());
  EXPECT_THROW(borrow_mesh(vocab.get(), batch.get()), InvalidArgument);
}

}  // namespace
}  // namespace klmesh
