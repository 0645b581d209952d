// What another thread can see of a rank's waits.
#include "klmesh/operation_log.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "comm/groups.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

using testing_support::world_barrier;
using testing_support::world_rank;
using testing_support::world_size;

TEST(OperationLog, HoldsTheOperationOfAScope) {
  OperationLog log;
  EXPECT_FALSE(log.current());
  {
    const OperationLog::Scope scope(&log, "all_reduce", 7);
    ASSERT_TRUE(log.current());
    EXPECT_STREQ(log.current()->name, "all_reduce");
    EXPECT_EQ(log.current()->number, 7u);
  }
  EXPECT_FALSE(log.current());
  const OperationLog::Scope without(nullptr, "all_reduce");
}

TEST(OperationLog, TellsTwoOfANameApart) {
  OperationLog log;
  log.begin("barrier");
  const auto first = log.current();
  log.begin("barrier");
  EXPECT_NE(log.current()->entry, first->entry);
  EXPECT_GE(log.current()->since, first->since);
}

// Rank 0 comes late; the others are seen to wait, and at rest again after they have given up.
TEST(OperationLog, ShowsWhatACommunicatorWaitsFor) {
  OperationLog log;
  const auto group = borrow_communicator(MPI_COMM_WORLD, {.deadline = std::chrono::duration<double>(0.4), .log = &log});
  EXPECT_FALSE(log.current());
  if (world_size() > 1 && world_rank() > 0) {
    std::optional<OperationLog::Operation> seen;
    std::atomic<bool> done = false;
    std::jthread watcher([&] {
      while (!done && !seen) seen = log.current();
    });
    EXPECT_THROW(group->barrier(), DeadlineExceeded);
    done = true;
    watcher.join();
    EXPECT_TRUE(seen);
    if (seen) {
      EXPECT_EQ(std::string(seen->name), "barrier");
      EXPECT_EQ(seen->number, 2u);
    }
    EXPECT_FALSE(log.current());
  }
  world_barrier();
}

}  // namespace
}  // namespace klmesh
