// The clock on a communicator: what passes through is counted, and passes unchanged.
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "timed_communicator.hpp"

namespace klmesh::bench {
namespace {

// One of three ranks, whose peers send it zeros; every operation takes two milliseconds.
class SlowCommunicator final : public Communicator {
 public:
  int rank() const noexcept override { return 1; }
  int size() const noexcept override { return 3; }
  void all_gather(std::span<const std::byte>, std::span<std::byte> receive) override { take(receive); }
  void all_to_all(std::span<const std::byte>, std::span<std::byte> receive) override { take(receive); }
  void all_reduce(std::span<std::int64_t> sums, std::span<std::uint64_t>) override { sums[0] = 7, take({}); }
  void broadcast(std::span<std::byte> data, int) override { take(data); }
  void barrier() override { take({}); }

 private:
  static void take(std::span<std::byte> receive) {
    for (std::byte& b : receive) b = std::byte{9};
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
};

TEST(TimedCommunicator, CountsBytesCallsAndTime) {
  CommunicationTimes times;
  TimedCommunicator timed(std::make_unique<SlowCommunicator>(), times);
  EXPECT_EQ(timed.rank(), 1);
  EXPECT_EQ(timed.size(), 3);

  std::array<std::byte, 4> four{};
  std::array<std::byte, 12> twelve{}, other{};
  timed.all_gather(four, twelve);
  EXPECT_EQ(times.received_bytes, 8);
  EXPECT_EQ(twelve[11], std::byte{9});
  timed.all_to_all(twelve, other);
  EXPECT_EQ(times.received_bytes, 8 + 8);
  std::array<std::int64_t, 2> sums{};
  std::array<std::uint64_t, 1> maxima{};
  timed.all_reduce(sums, maxima);
  EXPECT_EQ(sums[0], 7);
  EXPECT_EQ(times.received_bytes, 16 + 24);
  timed.broadcast(four, 0);
  EXPECT_EQ(times.received_bytes, 40 + 4);
  timed.broadcast(four, 1);  // this rank is the root
  EXPECT_EQ(times.received_bytes, 44);
  timed.barrier();
  EXPECT_EQ(times.calls, 6);
  EXPECT_GE(times.seconds, 0.012);
  EXPECT_LT(times.seconds, 5.0);
}

}  // namespace
}  // namespace klmesh::bench
