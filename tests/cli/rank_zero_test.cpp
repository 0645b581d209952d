#include "cli/rank_zero.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "klmesh/error.hpp"

namespace klmesh::cli {
namespace {

// Two ranks played one after the other: rank 0 leaves its broadcasts on the tape, rank 1 reads them.
class Tape : public Communicator {
 public:
  explicit Tape(std::vector<std::vector<std::byte>>& messages, int rank) : messages_(messages), rank_(rank) {}

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return 2; }
  void all_gather(std::span<const std::byte>, std::span<std::byte>) override {}
  void all_to_all(std::span<const std::byte>, std::span<std::byte>) override {}
  void all_reduce(std::span<std::int64_t>, std::span<std::uint64_t>) override {}
  void barrier() override {}
  void broadcast(std::span<std::byte> data, int) override {
    if (rank_ == 0) {
      messages_.emplace_back(data.begin(), data.end());
      return;
    }
    ASSERT_LT(next_, messages_.size());
    const std::vector<std::byte>& message = messages_[next_++];
    ASSERT_EQ(message.size(), data.size());
    std::memcpy(data.data(), message.data(), data.size());
  }

 private:
  std::vector<std::vector<std::byte>>& messages_;
  std::size_t next_ = 0;
  int rank_;
};

TEST(OnRankZero, AllRanksGetTheText) {
  std::vector<std::vector<std::byte>> messages;
  Tape zero(messages, 0);
  Tape one(messages, 1);
  EXPECT_EQ(on_rank_zero(zero, [] { return "seed = 1"; }), "seed = 1");
  EXPECT_EQ(on_rank_zero(one, []() -> std::string { throw Error("must not run here"); }), "seed = 1");
}

TEST(OnRankZero, AllRanksThrowTheSame) {
  std::vector<std::vector<std::byte>> messages;
  Tape zero(messages, 0);
  Tape one(messages, 1);
  const auto fail = []() -> std::string { throw InputNotFound("no such file"); };
  EXPECT_THROW(on_rank_zero(zero, fail), InputNotFound);
  EXPECT_THROW(on_rank_zero(one, fail), InputNotFound);
}

}  // namespace
}  // namespace klmesh::cli
