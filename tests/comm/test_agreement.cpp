#include <gmock/gmock.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <typeinfo>

#include "comm/agreement.hpp"
#include "comm/groups.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

using testing::HasSubstr;
using testing_support::make_group;

class Agreement : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    group_ = make_group(GetParam());
    if (!group_) GTEST_SKIP() << "no such group of " << testing_support::world_size() << " ranks";
  }
  // Whatever happened, the group works afterwards.
  void TearDown() override {
    if (!group_) return;
    EXPECT_NO_THROW(agree(group(), "after", 1));
  }
  Communicator& group() { return group_->get(); }
  bool alone() { return group().size() == 1; }
  int last() { return group().size() - 1; }
  std::string place(int rank) { return alone() ? "" : " (rank " + std::to_string(rank) + ")"; }

  /// What agree() throws here, as text with its type.
  template <typename E>
  std::string thrown(std::uint64_t fingerprint, std::exception_ptr failure) {
    try {
      agree(group(), "gradient", fingerprint, failure);
    } catch (const E& error) {
      EXPECT_TRUE(typeid(error) == typeid(E)) << "is a " << typeid(error).name();
      return error.what();
    }
    return "nothing";
  }

 private:
  std::optional<testing_support::Group> group_;
};

TEST_P(Agreement, PassesWhereAllAgree) {
  for (const std::uint64_t fingerprint : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{12345}})
    EXPECT_NO_THROW(agree(group(), "gradient", fingerprint));
}

TEST_P(Agreement, NamesTwoRanksThatDisagree) {
  if (alone()) GTEST_SKIP() << "takes two";
  for (int odd = 0; odd <= last(); ++odd) {
    const auto text = thrown<InvalidData>(group().rank() == odd ? 0xabc : 0x123, nullptr);
    EXPECT_EQ(text, std::string("ranks disagree about gradient: fingerprint ") +
                        (odd == 0 ? "0000000000000abc on rank 0, 0000000000000123"
                                  : "0000000000000123 on rank 0, 0000000000000abc") +
                        " on rank " + std::to_string(odd == 0 ? 1 : odd));
  }
}

TEST_P(Agreement, LetsTheCallerExplain) {
  if (alone()) GTEST_SKIP() << "takes two";
  const auto explain = [] { throw InvalidData("dtype"); };
  try {
    agree(group(), "gradient", static_cast<std::uint64_t>(group().rank()), nullptr, explain);
    ADD_FAILURE() << "nothing thrown";
  } catch (const InvalidData& error) {
    EXPECT_STREQ(error.what(), "dtype");
  }
  EXPECT_NO_THROW(agree(group(), "gradient", 7, nullptr, explain));
}

TEST_P(Agreement, SeesDifferentOperations) {
  if (alone()) GTEST_SKIP() << "takes two";
  try {
    agree(group(), group().rank() == last() ? "reduce" : "evaluate", 5);
    ADD_FAILURE() << "nothing thrown";
  } catch (const InvalidData& error) {
    EXPECT_EQ(error.what(),
              "ranks disagree about the operation: evaluate on rank 0, reduce on rank " + std::to_string(last()));
  }
}

TEST_P(Agreement, GivesTheFailureOfOneRankToAll) {
  for (int bad = 0; bad <= last(); ++bad) {
    const auto failure = group().rank() == bad ? std::make_exception_ptr(InvalidData("row 7 has a NaN"))
                                               : std::exception_ptr();
    EXPECT_EQ(thrown<InvalidData>(1, failure), "row 7 has a NaN" + place(bad));
  }
}

TEST_P(Agreement, PrefersTheLowestFailingRank) {
  const int first = last() / 2;
  std::exception_ptr failure;
  if (group().rank() == first) failure = std::make_exception_ptr(IoError("first"));
  if (group().rank() > first) failure = std::make_exception_ptr(InvalidArgument("later"));
  EXPECT_EQ(thrown<IoError>(static_cast<std::uint64_t>(group().rank()), failure), "first" + place(first));
}

TEST_P(Agreement, NamesNoRankWhereAllFailAlike) {
  EXPECT_EQ(thrown<InvalidData>(4, std::make_exception_ptr(InvalidData("no such key"))), "no such key");
}

TEST_P(Agreement, KeepsTheTypeOfEveryError) {
  const auto expect = [&]<typename E>(const E& error) {
    const auto failure = group().rank() == last() ? std::make_exception_ptr(error) : std::exception_ptr();
    EXPECT_THAT(thrown<E>(2, failure), HasSubstr(error.what()));
  };
  expect(Error("a"));
  expect(InvalidArgument("b"));
  expect(InvalidData("c"));
  expect(InputNotFound("d"));
  expect(BackendUnavailable("e"));
  expect(IoError("f"));
  expect(Hdf5Error("g"));
  expect(CommunicationError("h"));
  expect(MpiError("i"));
  expect(DeadlineExceeded("j"));
}

TEST_P(Agreement, TurnsForeignExceptionsIntoErrors) {
  EXPECT_THAT(thrown<Error>(3, std::make_exception_ptr(std::out_of_range("far away"))),
              HasSubstr("far away"));
  EXPECT_THAT(thrown<Error>(3, std::make_exception_ptr(42)), HasSubstr("unknown type"));
}

TEST_P(Agreement, DoesNotNameTheRankTwice) {
  for (const std::string text : {"rank 9 said so", "row 3 has a NaN (rank 9)"}) {
    const auto failure = group().rank() == last() ? std::make_exception_ptr(InvalidData(text)) : std::exception_ptr();
    EXPECT_EQ(thrown<InvalidData>(4, failure), text);
  }
}

TEST_P(Agreement, CutsLongMessages) {
  const std::string text(5000, 'y');
  const auto message = thrown<InvalidData>(5, std::make_exception_ptr(InvalidData(text)));
  EXPECT_THAT(message, HasSubstr(std::string(1000, 'y')));
  EXPECT_LT(message.size(), 1100u);
}

// A group whose peers are lost.
class LostGroup final : public Communicator {
 public:
  int rank() const noexcept override { return 0; }
  int size() const noexcept override { return 2; }
  void all_gather(std::span<const std::byte>, std::span<std::byte>) override { lose(); }
  void all_to_all(std::span<const std::byte>, std::span<std::byte>) override { lose(); }
  void all_reduce(std::span<std::int64_t>, std::span<std::uint64_t>) override { lose(); }
  void broadcast(std::span<std::byte>, int) override { lose(); }
  void barrier() override { lose(); }

 private:
  [[noreturn]] static void lose() { throw DeadlineExceeded("a peer is lost"); }
};

TEST(LostAgreement, KeepsWhatWasWrongBefore) {
  LostGroup group;
  int told = 0;
  const auto lost = [&] { ++told; };
  EXPECT_THROW(agree(group, "gradient", 1, std::make_exception_ptr(InvalidData("row 3")), nullptr, lost), InvalidData);
  EXPECT_THROW(agree(group, "gradient", 1, nullptr, nullptr, lost), DeadlineExceeded);
  EXPECT_EQ(told, 2);
}

INSTANTIATE_TEST_SUITE_P(Every, Agreement, testing::ValuesIn(testing_support::kGroupKinds),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace klmesh
