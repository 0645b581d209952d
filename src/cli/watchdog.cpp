#include "cli/watchdog.hpp"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "cli/quiet_thread.hpp"
#include "comm/mpi_wait.hpp"

namespace klmesh::cli {
namespace {

void watch(const std::stop_token& stop, const OperationLog& log, std::chrono::duration<double> limit,
           const std::function<void(const Overdue&)>& overdue) {
  constexpr auto interval = std::chrono::milliseconds(50);
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  std::optional<comm::RunningTime> time;
  std::uint64_t entry = 0;
  while (!wake.wait_for(lock, stop, interval, [&] { return stop.stop_requested(); })) {
    const std::optional<OperationLog::Operation> operation = log.current();
    if (!operation || operation->entry != entry) time.emplace();
    entry = operation ? operation->entry : 0;
    if (!operation) continue;
    const auto elapsed = time->elapsed();
    if (elapsed > limit) return overdue({*operation, elapsed});
  }
}

}  // namespace

std::string describe(const Overdue& overdue) {
  const std::string number = overdue.operation.number == 0 ? "" : fmt::format(" number {}", overdue.operation.number);
  return fmt::format("{}{} did not return within {:.1f} s", overdue.operation.name, number, overdue.elapsed.count());
}

Watchdog::Watchdog(const OperationLog& log, std::chrono::duration<double> limit,
                   std::function<void(const Overdue&)> overdue)
    : thread_(quiet_thread([&log, limit, overdue = std::move(overdue)](const std::stop_token& stop) {
        watch(stop, log, limit, overdue);
      })) {}

}  // namespace klmesh::cli
