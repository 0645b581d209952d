// What the gradient of one row is made of.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"

namespace klmesh::cpu {

// Weights of the quantities in one row, and what the row's gradient needs of its statistics.
struct RowWeights {
  double kl_reverse, kl_forward, logp, entropy;
  double half_jensen_shannon;
  RowNormalizer normalizer;
  double constant;  // what multiplies pi_v whatever v is
};

inline double weight_of(std::span<const double> scales, std::int64_t row) {
  return scales.empty() ? 0.0 : scales[static_cast<std::size_t>(row)];
}

inline RowWeights row_weights(const RowScales& scales, const TokenStats& token, std::int64_t row) {
  RowWeights w{weight_of(scales.kl_reverse, row), weight_of(scales.kl_forward, row),
               weight_of(scales.logp_policy, row), weight_of(scales.entropy_policy, row),
               0.5 * weight_of(scales.jensen_shannon, row), token.normalizer, 0.0};
  // An unused quantity may be infinite or unknown; its weight of 0 must not turn that into NaN.
  if (w.kl_reverse != 0.0) w.constant -= w.kl_reverse * w.normalizer.kl_reverse;
  if (w.entropy != 0.0) w.constant -= w.entropy * w.normalizer.entropy_policy;
  if (w.half_jensen_shannon != 0.0) w.constant -= w.half_jensen_shannon * w.normalizer.kl_policy_mixture;
  w.constant -= w.logp;
  return w;
}

}  // namespace klmesh::cpu
