// What every communicator promises. Included by the one file of a program that says which communicators are asked.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/groups.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

/// A kind of group, by its name, and how one of all ranks is made; nothing if there is none for this number of ranks.
struct GroupKind {
  const char* name;
  std::optional<testing_support::Group> (*make)(const char* name);
};

class CommunicatorContract : public testing::TestWithParam<GroupKind> {
 protected:
  void SetUp() override {
    group_ = GetParam().make(GetParam().name);
    if (!group_) GTEST_SKIP() << "no such group of " << testing_support::world_size() << " ranks";
  }
  Communicator& group() { return group_->get(); }
  std::size_t ranks() { return static_cast<std::size_t>(group().size()); }

 private:
  std::optional<testing_support::Group> group_;
};

/// A byte that depends on who sends it and on where it stands.
std::byte pattern(std::size_t rank, std::size_t index) {
  return static_cast<std::byte>((rank * 131 + index * 7 + index / 251) & 0xff);
}

std::vector<std::byte> pattern_of(std::size_t rank, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = pattern(rank, i);
  return bytes;
}

// Around the sizes at which messages are cut: 4 MiB, and in a gather or an exchange that over the number of
// ranks, 64 KiB at least.
constexpr std::size_t kSizes[] = {1, 3, 1000, 65536, 65537, 1048576, 1048577, 4194305};

TEST_P(CommunicatorContract, RanksAreThoseOfTheWorld) {
  const bool self = std::string(GetParam().name) == "self";
  EXPECT_EQ(group().size(), self ? 1 : testing_support::world_size());
  EXPECT_EQ(group().rank(), self ? 0 : testing_support::world_rank());
}

TEST_P(CommunicatorContract, GathersInRankOrder) {
  for (const std::size_t size : kSizes) {
    const auto send = pattern_of(static_cast<std::size_t>(group().rank()), size);
    std::vector<std::byte> expected;
    for (std::size_t r = 0; r < ranks(); ++r) {
      const auto part = pattern_of(r, size);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    std::vector<std::byte> receive(ranks() * size);
    group().all_gather(send, receive);
    EXPECT_TRUE(receive == expected) << size << " bytes";
  }
}

TEST_P(CommunicatorContract, ExchangesBlocksInRankOrder) {
  // Blocks differ in the sender and in the receiver.
  const auto block = [](std::size_t from, std::size_t to, std::size_t size) {
    return pattern_of(16 * from + to, size);
  };
  const auto rank = static_cast<std::size_t>(group().rank());
  const auto exchange = [&](std::size_t size) {
    std::vector<std::byte> send, expected;
    for (std::size_t r = 0; r < ranks(); ++r) {
      const auto leaving = block(rank, r, size);
      const auto arriving = block(r, rank, size);
      send.insert(send.end(), leaving.begin(), leaving.end());
      expected.insert(expected.end(), arriving.begin(), arriving.end());
    }
    std::vector<std::byte> receive(ranks() * size);
    group().all_to_all(send, receive);
    EXPECT_TRUE(receive == expected) << size << " bytes";
  };
  for (const std::size_t size : kSizes) exchange(size);
  for (const std::size_t size : {0, 5}) exchange(size);  // after larger ones
}

TEST_P(CommunicatorContract, SumsWrapAround) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> sums = {group().rank() + 1, -1, kMax, kMax - group().rank()};
  group().all_reduce(sums, {});
  const auto n = static_cast<std::uint64_t>(ranks());
  const std::uint64_t max = static_cast<std::uint64_t>(kMax);
  EXPECT_EQ(sums[0], static_cast<std::int64_t>(n * (n + 1) / 2));
  EXPECT_EQ(sums[1], -static_cast<std::int64_t>(n));
  EXPECT_EQ(sums[2], static_cast<std::int64_t>(max * n));
  EXPECT_EQ(sums[3], static_cast<std::int64_t>(max * n - n * (n - 1) / 2));
}

TEST_P(CommunicatorContract, MaximaAreUnsigned) {
  const auto rank = static_cast<std::uint64_t>(group().rank());
  std::vector<std::uint64_t> maxima = {rank, 100 - rank, ~rank, rank == 0 ? std::uint64_t{1} << 63 : 5};
  group().all_reduce({}, maxima);
  EXPECT_EQ(maxima,
            (std::vector<std::uint64_t>{ranks() - 1, 100, ~std::uint64_t{0}, std::uint64_t{1} << 63}));
}

TEST_P(CommunicatorContract, ReducesSumsAndMaximaOfDifferentLengths) {
  const auto rank = static_cast<std::uint64_t>(group().rank());
  const auto n = static_cast<std::int64_t>(ranks());
  for (const auto& [sum_count, max_count] : std::initializer_list<std::pair<std::size_t, std::size_t>>{
           {1, 1}, {5, 2}, {2, 5}, {524288, 1}, {1, 524289}, {1500000, 700000}}) {
    std::vector<std::int64_t> sums(sum_count);
    std::iota(sums.begin(), sums.end(), static_cast<std::int64_t>(rank));
    std::vector<std::uint64_t> maxima(max_count);
    for (std::size_t i = 0; i < max_count; ++i) maxima[i] = i % ranks() == rank ? i + 1000 : rank;
    group().all_reduce(sums, maxima);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < sum_count; ++i)
      wrong += sums[i] != n * static_cast<std::int64_t>(i) + n * (n - 1) / 2;
    for (std::size_t i = 0; i < max_count; ++i) wrong += maxima[i] != i + 1000;
    EXPECT_EQ(wrong, 0u) << sum_count << " sums, " << max_count << " maxima";
  }
}

TEST_P(CommunicatorContract, EmptySpansAreFine) {
  group().all_gather({}, {});
  group().all_to_all({}, {});
  group().all_reduce({}, {});
  group().broadcast({}, 0);
  std::vector<std::uint64_t> after = {static_cast<std::uint64_t>(group().rank())};
  group().all_reduce({}, after);
  EXPECT_EQ(after[0], ranks() - 1);
}

TEST_P(CommunicatorContract, BroadcastsFromEveryRoot) {
  for (int root = 0; root < group().size(); ++root) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{777}, std::size_t{9000001}}) {
      auto data = pattern_of(static_cast<std::size_t>(group().rank()), size);
      group().broadcast(data, root);
      EXPECT_TRUE(data == pattern_of(static_cast<std::size_t>(root), size)) << size << " bytes from " << root;
    }
  }
}

// Nobody may leave a barrier before the last has come.
TEST_P(CommunicatorContract, BarrierWaitsForTheLast) {
  constexpr auto kLate = std::chrono::milliseconds(60);
  for (int late = 0; late < group().size(); ++late) {
    group().barrier();
    const auto start = std::chrono::steady_clock::now();
    if (group().rank() == late) std::this_thread::sleep_for(kLate);
    group().barrier();
    EXPECT_GE(std::chrono::steady_clock::now() - start, kLate / 2);
  }
}

TEST_P(CommunicatorContract, RefusesWrongSizesAndRoots) {
  std::vector<std::byte> send(3);
  std::vector<std::byte> receive(3 * ranks() + 1);
  EXPECT_THROW(group().all_gather(send, receive), InvalidArgument);
  std::vector<std::byte> blocks(3 * ranks());
  EXPECT_THROW(group().all_to_all(blocks, receive), InvalidArgument);
  EXPECT_THROW(group().all_to_all(receive, blocks), InvalidArgument);
  if (ranks() > 1) {  // or else no size is uneven
    const std::vector<std::byte> uneven(receive.size());
    EXPECT_THROW(group().all_to_all(uneven, receive), InvalidArgument);
  }
  EXPECT_THROW(group().broadcast(send, -1), InvalidArgument);
  EXPECT_THROW(group().broadcast(send, group().size()), InvalidArgument);
  group().barrier();  // and is as good as before
}

}  // namespace
}  // namespace klmesh
