// Waiting for MPI requests with a deadline, politely.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <thread>

#include "comm/mpi_check.hpp"

namespace klmesh::comm {

using Seconds = std::chrono::duration<double>;

/// Adds up the time in which this process could run. A gap between two looks that is longer than any poll takes was
/// a stop (a suspended job, a debugger): it counts as half a second, so that resumed ranks do not all give up.
class RunningTime {
 public:
  Seconds elapsed() noexcept {
    constexpr Seconds kLongestGap{0.5};
    const auto now = std::chrono::steady_clock::now();
    elapsed_ += std::min(kLongestGap, Seconds(now - last_));
    last_ = now;
    return elapsed_;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  Seconds elapsed_{0.0};
};

/// Polls until all `requests` are done or `deadline` has passed.
///
/// Spins for a few microseconds, the time of a small exchange; then gives the core away between polls, so
/// that more ranks than cores get on; and only a wait that is long anyway sleeps, since data move only while
/// someone polls.
/// @returns nothing when done; else the time waited, with the requests still active
/// @throws MpiError if MPI reports an error
inline std::optional<Seconds> wait_until(std::span<MPI_Request> requests, Seconds deadline) {
  constexpr int kSpins = 200;
  constexpr Seconds kYielding{0.020};
  constexpr auto kSleep = std::chrono::microseconds(50);
  RunningTime time;
  for (int polls = 0;; ++polls) {
    int done = 0;
    check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
          "MPI_Testall");
    if (done) return std::nullopt;
    if (polls < kSpins) continue;
    const Seconds elapsed = time.elapsed();
    if (elapsed >= deadline) return elapsed;
    if (elapsed < kYielding)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(kSleep);
  }
}

}  // namespace klmesh::comm
