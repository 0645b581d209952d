#include "loop/arm_progress.hpp"

#include <algorithm>
#include <cmath>

namespace klmesh::loop {

void ArmProgress::add(const StepRecord& step) {
  const QuantityStatistics& kl = (*step.statistics)[Quantity::kl_reverse];
  if (recent.empty()) {
    report.first = step;
    report.kl_min = HUGE_VAL;
  }
  report.last = step;
  report.kl_min = std::min(report.kl_min, kl.min);
  report.kl_max = std::max(report.kl_max, kl.max);
  report.coverage.add(*step.statistics);
  if (recent.size() == last_steps) recent.erase(recent.begin());
  recent.push_back({step.reward_mean, kl.mean});
}

ArmReport ArmProgress::finished() const {
  ArmReport finished = report;
  const auto count = static_cast<double>(recent.size());
  for (const Recent& step : recent) {
    finished.final_reward += step.reward / count;
    finished.final_kl += step.kl / count;
  }
  return finished;
}

}  // namespace klmesh::loop
