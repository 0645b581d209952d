// What one step of any phase reports.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "klmesh/statistics.hpp"

namespace klmesh::loop {

/// The phases, by the number that files and options use; statistics files say recorded_number().
enum class Phase : int { mle = 1, reward = 2, rlhf = 3, distill = 4 };

/// /steps/phase knows 1, 2, and 3, the phase with a reference. A student has its teacher for one, and files of its own.
constexpr std::int64_t recorded_number(Phase phase) noexcept {
  return phase == Phase::distill ? 3 : static_cast<std::int64_t>(phase);
}

struct StepRecord {
  Phase phase = Phase::mle;
  std::int64_t step = 0;                     ///< counted from 1 within the phase
  std::optional<StepStatistics> statistics;  ///< none in phase 2; without a reference in phase 1
  double loss = std::numeric_limits<double>::quiet_NaN();
  double reward_mean = std::numeric_limits<double>::quiet_NaN();
  double reward_stddev = std::numeric_limits<double>::quiet_NaN();
  double perplexity_heldout = std::numeric_limits<double>::quiet_NaN();
  double beta = std::numeric_limits<double>::quiet_NaN();  ///< phase 3: weight of the penalty in this step
  std::optional<double> stop_limit;  ///< rlhf.stop_kl, nats a token, if this step's KL is above: the arm's last
  std::int64_t tokens = 0;  ///< counted tokens over all ranks
  double seconds = 0;       ///< wall-clock, this rank

  bool ends_early() const noexcept { return stop_limit.has_value(); }
  bool has_reference() const noexcept { return phase >= Phase::rlhf; }
  /// Targets are samples of the policy: the estimators then estimate its KL, and their bias means something.
  bool has_samples() const noexcept { return phase == Phase::rlhf; }
};

}  // namespace klmesh::loop
