// Monte-Carlo estimators of KL[pi || ref] from log-probabilities of the sampled token alone.
#pragma once

#include <cmath>

#include "klmesh/row_partial.hpp"

namespace klmesh {

/// Estimators at one sampled token y ~ pi, in nats. log_ratio = log ref(y) - log pi(y).
/// Source: J. Schulman, "Approximating KL Divergence", 2020.
struct Estimators {
  double k1 = 0;  ///< -log r: unbiased, may be negative
  double k2 = 0;  ///< (log r)^2 / 2: biased by O(delta^3)
  double k3 = 0;  ///< (r - 1) - log r: unbiased, >= 0
};

KLMESH_HD inline Estimators estimators(double log_ratio) {
  // k3 by its own series for small ratios: expm1(x) - x cancels.
  const double k3 = std::isinf(log_ratio) && log_ratio < 0 ? -log_ratio : detail::expm1_neg_plus(-log_ratio);
  return {0.0 - log_ratio, 0.5 * log_ratio * log_ratio, k3};  // 0 - x: equal probabilities give 0, not -0
}

}  // namespace klmesh
