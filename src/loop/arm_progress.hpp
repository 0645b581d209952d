// The report of an arm while its steps are coming in.
#pragma once

#include <cstddef>
#include <vector>

#include "loop/training_report.hpp"

namespace klmesh::loop {

/// Keeps what the report of an arm needs of its steps: not the steps themselves.
struct ArmProgress {
  static constexpr std::size_t last_steps = 10;  ///< that final_reward and final_kl are means of

  struct Recent {
    double reward = 0, kl = 0;
  };

  ArmReport report;            ///< but for the means and the samples
  std::vector<Recent> recent;  ///< of the last steps, at most last_steps of them
  double next_beta = 0;        ///< of the step to come

  /// @param step of phase 3, with statistics
  void add(const StepRecord& step);

  /// The report with its means; samples are still to come.
  ArmReport finished() const;
};

}  // namespace klmesh::loop
