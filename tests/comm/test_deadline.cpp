// A rank that does not come: the others leave in time, and the job can still end.
#include <gmock/gmock.h>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/groups.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_support::world_barrier;
using testing_support::world_rank;
using testing_support::world_size;

constexpr std::chrono::duration<double> kDeadline{0.3};

std::string rank_text() { return "rank " + std::to_string(world_rank()) + " of MPI_COMM_WORLD"; }

/// Rank 0 comes to `operation` when the others have given up. Then it may find them or not; nobody hangs.
void expect_deadline(const std::string& name, const std::function<void(Communicator&)>& operation) {
  const auto group = borrow_communicator(MPI_COMM_WORLD, {.deadline = kDeadline});
  group->barrier();
  if (world_rank() == 0) {
    world_barrier();
    try {
      operation(*group);
    } catch (const DeadlineExceeded&) {
    }
  } else {
    const auto start = std::chrono::steady_clock::now();
    try {
      operation(*group);
      ADD_FAILURE() << name << " ended without rank 0";
    } catch (const DeadlineExceeded& error) {
      EXPECT_THAT(error.what(),
                  AllOf(HasSubstr(rank_text()), HasSubstr(name + " number 3"), HasSubstr("0.3 s")));
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    EXPECT_GE(elapsed, kDeadline);
    EXPECT_LE(elapsed, kDeadline + std::chrono::seconds(1));
    EXPECT_THROW(group->barrier(), CommunicationError);
    EXPECT_LE(std::chrono::steady_clock::now() - start, kDeadline + std::chrono::seconds(1));
    world_barrier();
  }
  world_barrier();
}

class Deadline : public testing::Test {
 protected:
  void SetUp() override {
    if (world_size() < 2) GTEST_SKIP() << "takes two";
  }
};

TEST_F(Deadline, EndsAllGather) {
  expect_deadline("all_gather", [](Communicator& group) {
    const std::vector<std::byte> send(50000);
    std::vector<std::byte> receive(send.size() * static_cast<std::size_t>(group.size()));
    group.all_gather(send, receive);
  });
}

TEST_F(Deadline, EndsAllToAll) {
  expect_deadline("all_to_all", [](Communicator& group) {
    const std::vector<std::byte> send(50000 * static_cast<std::size_t>(group.size()));
    std::vector<std::byte> receive(send.size());
    group.all_to_all(send, receive);
  });
}

TEST_F(Deadline, EndsAllReduce) {
  expect_deadline("all_reduce", [](Communicator& group) {
    std::vector<std::int64_t> sums(10);
    std::vector<std::uint64_t> maxima(20000);
    group.all_reduce(sums, maxima);
  });
}

// The root of a broadcast need not wait for anybody, but everybody for the root.
TEST_F(Deadline, EndsBroadcast) {
  expect_deadline("broadcast", [](Communicator& group) {
    std::vector<std::byte> data(100000);
    group.broadcast(data, 0);
  });
}

TEST_F(Deadline, EndsBarrier) {
  expect_deadline("barrier", [](Communicator& group) { group.barrier(); });
}

TEST_F(Deadline, EndsAgreement) {
  expect_deadline("all_reduce", [](Communicator& group) { agree(group, "test", 1); });
}

// What MPI writes when the late rank has come at last must not land in the memory of those who left.
TEST_F(Deadline, LeavesTheMemoryOfTheCallerAlone) {
  const auto group = borrow_communicator(MPI_COMM_WORLD, {.deadline = kDeadline});
  std::vector<std::uint64_t> maxima(1000, static_cast<std::uint64_t>(world_rank()));
  if (world_rank() == 0) {
    world_barrier();
    try {
      maxima.assign(maxima.size(), 77);
      group->all_reduce({}, maxima);
    } catch (const DeadlineExceeded&) {
    }
    world_barrier();
  } else {
    EXPECT_THROW(group->all_reduce({}, maxima), DeadlineExceeded);
    maxima.assign(maxima.size(), 5);
    world_barrier();
    world_barrier();
    EXPECT_THAT(maxima, testing::Each(5u));
  }
}

TEST_F(Deadline, EndsBorrowing) {
  if (world_rank() == 0) {
    world_barrier();
    try {
      borrow_communicator(MPI_COMM_WORLD, {.deadline = kDeadline});
    } catch (const DeadlineExceeded&) {
    }
  } else {
    EXPECT_THROW(borrow_communicator(MPI_COMM_WORLD, {.deadline = kDeadline}), DeadlineExceeded);
    world_barrier();
  }
  world_barrier();
}

TEST(DeadlineOption, MustBePositiveOnAllRanks) {
  for (const double seconds : {0.0, -1.0, std::nan("")}) {
    EXPECT_THROW(borrow_communicator(MPI_COMM_WORLD, {.deadline = std::chrono::duration<double>(seconds)}),
                 InvalidArgument);
    const double mine = world_rank() == world_size() - 1 ? seconds : 60.0;
    EXPECT_THROW(borrow_communicator(MPI_COMM_WORLD, {.deadline = std::chrono::duration<double>(mine)}),
                 InvalidArgument);
  }
}

}  // namespace
}  // namespace klmesh
