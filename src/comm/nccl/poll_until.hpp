// Waiting for what can only be asked, with a deadline, politely.
#pragma once

#include <chrono>
#include <optional>
#include <thread>

#include "comm/mpi_wait.hpp"

namespace klmesh::comm {

/// Asks `done` until it says true or `deadline` has passed.
///
/// Spins for the time of a small exchange, then gives the core away between questions; only a wait that is long anyway
/// sleeps. Time in which this process was stopped does not count.
/// @returns nothing when done; else the time waited
/// @throws what `done` throws
template <typename Done>
std::optional<Seconds> poll_until(Done&& done, Seconds deadline) {
  constexpr int kSpins = 200;
  constexpr Seconds kYielding{0.020};
  constexpr auto kSleep = std::chrono::microseconds(50);
  RunningTime time;
  for (int polls = 0;; ++polls) {
    if (done()) return std::nullopt;
    if (polls < kSpins) continue;
    const Seconds elapsed = time.elapsed();
    if (elapsed >= deadline) return elapsed;
    if (elapsed < kYielding) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kSleep);
    }
  }
}

}  // namespace klmesh::comm
