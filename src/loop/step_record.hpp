// What one step of any phase reports.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "klmesh/statistics.hpp"

namespace klmesh::loop {

/// The phases, by the number that files and options use.
enum class Phase : int { mle = 1, reward = 2, rlhf = 3 };

struct StepRecord {
  Phase phase = Phase::mle;
  std::int64_t step = 0;                     ///< counted from 1 within the phase
  std::optional<StepStatistics> statistics;  ///< none in phase 2; without a reference in phase 1
  double loss = std::numeric_limits<double>::quiet_NaN();
  double reward_mean = std::numeric_limits<double>::quiet_NaN();
  double reward_stddev = std::numeric_limits<double>::quiet_NaN();
  double perplexity_heldout = std::numeric_limits<double>::quiet_NaN();
  std::int64_t tokens = 0;  ///< counted tokens over all ranks
  double seconds = 0;       ///< wall-clock, this rank

  bool has_reference() const noexcept { return phase == Phase::rlhf; }
};

}  // namespace klmesh::loop
