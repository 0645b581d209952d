// Grids with more columns than rows, or fewer: in a square, or in a line, rows and columns can be confused.
#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <vector>

#include "comm/groups.hpp"

namespace klmesh {
namespace {

using testing_support::borrow_groups;
using testing_support::world_rank;
using testing_support::world_size;

void expect_exchange(MeshShape shape) {
  Mesh mesh = borrow_groups(shape);
  const auto rank = static_cast<std::uint64_t>(world_rank());
  const auto message = [](std::uint64_t from, std::uint64_t to) { return 100 * from + to; };
  std::vector<std::uint64_t> send, expected;
  for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(world_size()); ++r) {
    send.push_back(message(rank, r));
    expected.push_back(message(r, rank));
  }
  std::vector<std::uint64_t> receive(send.size());
  mesh.world().all_to_all(std::as_bytes(std::span(send)), std::as_writable_bytes(std::span(receive)));
  EXPECT_EQ(receive, expected) << to_string(shape);
}

TEST(Product, ExchangesBlocksOfOblongGrids) {
  if (world_size() != 6) GTEST_SKIP() << "takes six";
  expect_exchange({2, 3});
  expect_exchange({3, 2});
}

}  // namespace
}  // namespace klmesh
