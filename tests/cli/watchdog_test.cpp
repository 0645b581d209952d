#include "cli/watchdog.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>

namespace klmesh::cli {
namespace {

using namespace std::chrono_literals;

TEST(Watchdog, TellsOfAnOperationThatDoesNotEnd) {
  OperationLog log;
  std::promise<Overdue> told;
  const Watchdog watchdog(log, 200ms, [&](const Overdue& overdue) { told.set_value(overdue); });
  log.begin("MPI_Comm_split", 7);
  auto future = told.get_future();
  ASSERT_EQ(future.wait_for(10s), std::future_status::ready);
  const Overdue overdue = future.get();
  EXPECT_GT(overdue.elapsed, 200ms);
  EXPECT_EQ(describe({overdue.operation, std::chrono::duration<double>(0.34)}),
            "MPI_Comm_split number 7 did not return within 0.3 s");
  EXPECT_EQ(describe({{.name = "MPI_Finalize", .since = {}}, std::chrono::duration<double>(2)}), "MPI_Finalize did not return within 2.0 s");
}

// Short operations one after the other, and rests, are no reason.
TEST(Watchdog, IsQuietWhileOperationsEnd) {
  OperationLog log;
  std::atomic<int> alarms = 0;
  {
    const Watchdog watchdog(log, 1s, [&](const Overdue&) { ++alarms; });
    for (int i = 0; i < 30; ++i) {
      const OperationLog::Scope operation(&log, "all_reduce");
      std::this_thread::sleep_for(70ms);
    }
    std::this_thread::sleep_for(1200ms);
  }
  EXPECT_EQ(alarms, 0);
}

}  // namespace
}  // namespace klmesh::cli
