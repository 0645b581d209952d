// What a row's merged partial says: divergences, entropies, log-probabilities, estimators.
#pragma once

#include <cstdint>

#include "klmesh/row_partial.hpp"

namespace klmesh {

/// Normalisers of a row, kept for the gradient: log pi_v = (a_v - exponent ln 2) - log_sum_policy and
/// log(ref_v / pi_v) = (b_v - a_v - pivot) - log_ratio_shift.
struct RowNormalizer {
  double exponent = 0;
  double log_sum_policy = 0;
  double pivot = 0;
  double log_ratio_shift = 0;
};

/// Everything known about one token position, in nats. Values that need a target are NaN without one.
struct TokenStats {
  double kl_reverse = 0;   ///< KL[pi || ref]
  double kl_forward = 0;   ///< KL[ref || pi]
  double entropy_policy = 0;
  double entropy_reference = 0;
  double cross_entropy_policy_reference = 0;  ///< -sum pi log ref
  double cross_entropy_reference_policy = 0;  ///< -sum ref log pi
  double logp_policy = 0;     ///< log pi(y)
  double logp_reference = 0;  ///< log ref(y)
  double k1 = 0;              ///< -log r, r = ref(y) / pi(y)
  double k2 = 0;              ///< (log r)^2 / 2
  double k3 = 0;              ///< (r - 1) - log r
  RowNormalizer normalizer;
  std::uint32_t flags = 0;  ///< RowFlag bits
  std::int32_t invalid_column = std::numeric_limits<std::int32_t>::max();

  /// NaN or +inf logits, or a side without a finite one: every value above is NaN.
  KLMESH_HD bool invalid_logits() const noexcept {
    constexpr std::uint32_t mass = kPolicyHasMass | kReferenceHasMass;
    return (flags & (kInvalidPolicy | kInvalidReference)) != 0 || (flags & mass) != mass;
  }
  /// A target out of range, or of probability 0 under the policy that is said to have sampled it.
  KLMESH_HD bool invalid_target() const noexcept {
    return (flags & kTargetOutOfRange) != 0 || logp_policy == -std::numeric_limits<double>::infinity();
  }
};

/// Reads the statistics of a row off its merged partial. No communication, no allocation.
///
/// kl_reverse and kl_forward are >= 0, exactly 0 for identical rows, +inf where the supports say so.
/// @param row        partial of the whole vocabulary
/// @param has_target whether the row was given a target; without one the target quantities are NaN
TokenStats finish(const RowPartial& row, bool has_target);

}  // namespace klmesh
