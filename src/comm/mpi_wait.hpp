// Waiting for MPI requests with a deadline, politely.
#pragma once

#include <mpi.h>

#include <chrono>
#include <optional>
#include <span>
#include <thread>

#include "comm/mpi_check.hpp"

namespace klmesh::comm {

using Seconds = std::chrono::duration<double>;

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
  const auto start = std::chrono::steady_clock::now();
  for (int polls = 0;; ++polls) {
    int done = 0;
    check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
          "MPI_Testall");
    if (done) return std::nullopt;
    if (polls < kSpins) continue;
    const Seconds elapsed = std::chrono::steady_clock::now() - start;
    if (elapsed >= deadline) return elapsed;
    if (elapsed < kYielding)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(kSleep);
  }
}

}  // namespace klmesh::comm
