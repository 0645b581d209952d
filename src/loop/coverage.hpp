// Does an estimator's bias lie within its own error bars as often as it should?
#pragma once

#include <array>
#include <cstdint>

#include "klmesh/statistics.hpp"

namespace klmesh::loop {

/// How often |bias| <= 2 clustered standard errors, over steps with enough KL to measure.
struct Coverage {
  std::int64_t steps = 0;   ///< with mean KL between 1e-3 and 0.3 nats, and a finite error bar
  std::int64_t inside = 0;  ///< of these, within two clustered standard errors

  double fraction() const noexcept;
  /// P(at most `inside` of `steps`), if 95 % were true. Below 0.01 the estimator's bias is no accident.
  double p_value() const noexcept;
  bool fails() const noexcept;
};

/// Coverage of k1, k2 and k3 over the steps of a run.
class BiasCoverage {
 public:
  void add(const StepStatistics& step);
  const Coverage& k1() const noexcept { return coverage_[0]; }
  const Coverage& k2() const noexcept { return coverage_[1]; }
  const Coverage& k3() const noexcept { return coverage_[2]; }

 private:
  std::array<Coverage, 3> coverage_;
};

}  // namespace klmesh::loop
