#include "cli/suggestion.hpp"

#include <gtest/gtest.h>

#include <array>

namespace klmesh::cli {
namespace {

TEST(Suggestion, EditDistance) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("steps", "stepz"), 1);
}

TEST(Suggestion, NearestIsNearAndFirst) {
  constexpr std::array<std::string_view, 3> names{"mle.steps", "rlhf.beta", "mle.stepz"};
  EXPECT_EQ(nearest("mle.step", names), "mle.steps");
  EXPECT_EQ(nearest("rlfh.beta", names), "rlhf.beta");
  EXPECT_EQ(nearest("q", names), "");
  EXPECT_EQ(nearest("", names), "");
}

}  // namespace
}  // namespace klmesh::cli
