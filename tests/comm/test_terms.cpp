// Ranks with different terms: all throw, and the message says which term, which values, which ranks.
#include "comm/terms.hpp"

#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <vector>

#include "comm/groups.hpp"
#include "comm/library_version.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;
using testing_support::make_group;

TEST(RanksText, IsShort) {
  EXPECT_EQ(ranks_text(std::vector{3}), "rank 3");
  EXPECT_EQ(ranks_text(std::vector{0, 1}), "ranks 0-1");
  EXPECT_EQ(ranks_text(std::vector{0, 1, 2, 5, 7, 8, 9, 10}), "ranks 0-2, 5, 7-10");
}

class TermsOf : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    group_ = make_group(GetParam());
    if (!group_ || group_->get().size() < 2) GTEST_SKIP() << "takes two";
  }
  void TearDown() override {
    if (!group_) return;
    EXPECT_NO_THROW(agree_on(group(), {{"after", "all"}}));
  }
  Communicator& group() { return group_->get(); }
  int last() { return group().size() - 1; }
  bool is_last() { return group().rank() == last(); }

  /// "rank 0", "ranks 0-1", "ranks 0-2": all but the last.
  std::string others() {
    std::vector<int> ranks;
    for (int rank = 0; rank < last(); ++rank) ranks.push_back(rank);
    return ranks_text(ranks);
  }

  std::string thrown(const Terms& terms, std::exception_ptr failure = nullptr) {
    try {
      agree_on(group(), terms, failure);
    } catch (const InvalidData& error) {
      return error.what();
    } catch (const Error& error) {
      return std::string("another error: ") + error.what();
    }
    return "nothing";
  }

 private:
  std::optional<testing_support::Group> group_;
};

TEST_P(TermsOf, TheSame) {
  EXPECT_EQ(thrown({}), "nothing");
  EXPECT_EQ(thrown({{"seed", "1"}, {"mle.steps", "7"}}), "nothing");
}

TEST_P(TermsOf, AnotherValue) {
  const std::string steps = is_last() ? "8" : "7";
  EXPECT_EQ(thrown({{"seed", "1"}, {"mle.steps", steps}, {"rlhf.steps", steps}}),
            "ranks disagree about mle.steps: 7 on " + others() + "; 8 on rank " + std::to_string(last()));
}

TEST_P(TermsOf, AnotherLibraryVersion) {
  EXPECT_THAT(library_version(), HasSubstr(", exchange format "));
  const std::string other = "9.9.9, exchange format 0";
  EXPECT_EQ(thrown({{"library version", is_last() ? other : library_version()}}),
            "ranks disagree about library version: " + library_version() + " on " + others() + "; " + other +
                " on rank " + std::to_string(last()));
}

// As `train` on one rank and `eval` on another have.
TEST_P(TermsOf, OtherNames) {
  Terms terms{{"subcommand", "train"}, {"seed", "1"}};
  if (is_last()) terms = {{"subcommand", "train"}, {"input file", "a.h5"}};
  EXPECT_EQ(thrown(terms), "ranks disagree about seed: 1 on " + others() + "; not given on rank " + std::to_string(last()));
  terms = {{"subcommand", "train"}};
  if (is_last()) terms.push_back({"--skip", "yes"});
  EXPECT_EQ(thrown(terms), "ranks disagree about --skip: not given on " + others() + "; yes on rank " + std::to_string(last()));
}

TEST_P(TermsOf, ManyValues) {
  const std::string own = std::to_string(group().rank());
  EXPECT_THAT(thrown({{"seed", own}}), AllOf(StartsWith("ranks disagree about seed: 0 on rank 0; 1 on rank 1")));
}

// What differs may lie behind the cut.
TEST_P(TermsOf, LongValues) {
  const std::string text(3000, 'x');
  const std::string message = thrown({{std::string(200, 'n'), text + (is_last() ? "a" : "b")}});
  EXPECT_THAT(message, AllOf(HasSubstr("xxx... on " + others()), HasSubstr("xxx... on rank " + std::to_string(last()))));
  EXPECT_LT(message.size(), 1200u);
}

TEST_P(TermsOf, AFailureComesFirst) {
  const auto failure = is_last() ? std::make_exception_ptr(InputNotFound("b.toml")) : std::exception_ptr();
  EXPECT_EQ(thrown({{"seed", is_last() ? "2" : "1"}}, failure),
            "another error: b.toml (rank " + std::to_string(last()) + ")");
}

TEST(MeshTerms, ShapesThatDiffer) {
  const int ranks = testing_support::world_size();
  if (ranks < 2) GTEST_SKIP() << "takes two";
  const bool first = testing_support::world_rank() == 0;
  try {
    borrow_mesh(MPI_COMM_WORLD, first ? MeshShape{1, ranks} : MeshShape{ranks, 1});
    ADD_FAILURE() << "nothing thrown";
  } catch (const InvalidData& error) {
    EXPECT_THAT(error.what(), StartsWith("ranks disagree about mesh: 1x" + std::to_string(ranks) + " on rank 0; " +
                                         std::to_string(ranks) + "x1 on rank"));
  }
}

INSTANTIATE_TEST_SUITE_P(Every, TermsOf, testing::ValuesIn(testing_support::kGroupKinds),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace klmesh
