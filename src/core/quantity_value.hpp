// One quantity of one token, read off its TokenStats. Host and device.
#pragma once

#include <cmath>

#include "core/portable_exp.hpp"
#include "klmesh/statistics.hpp"

namespace klmesh {

KLMESH_HD inline bool quantity_needs_target(Quantity quantity) {
  return quantity >= Quantity::logp_policy && quantity <= Quantity::ratio_excess;
}

/// See value_of().
KLMESH_HD inline double quantity_value(const TokenStats& t, Quantity quantity) {
  switch (quantity) {
    case Quantity::kl_reverse: return t.kl_reverse;
    case Quantity::kl_forward: return t.kl_forward;
    case Quantity::entropy_policy: return t.entropy_policy;
    case Quantity::entropy_reference: return t.entropy_reference;
    case Quantity::cross_entropy_policy_reference: return t.cross_entropy_policy_reference;
    case Quantity::cross_entropy_reference_policy: return t.cross_entropy_reference_policy;
    case Quantity::logp_policy: return t.logp_policy;
    case Quantity::logp_reference: return t.logp_reference;
    case Quantity::k1: return t.k1;
    case Quantity::k2: return t.k2;
    case Quantity::k3: return t.k3;
    case Quantity::k1_bias: return t.k1 - t.kl_reverse;
    case Quantity::k2_bias: return t.k2 - t.kl_reverse;
    case Quantity::k3_bias: return t.k3 - t.kl_reverse;
    case Quantity::delta_p:
      // pi (1 - r) cancels nothing where r is near 1; where r is large it may overflow, and pi - ref is as good.
      return t.k1 < -1.0 ? portable_exp(t.logp_policy) - portable_exp(t.logp_reference)
                         : -portable_exp(t.logp_policy) * portable_expm1(-t.k1);
    case Quantity::ratio_excess: return portable_expm1(-t.k1);
    case Quantity::chi_square: return t.chi_square;
    case Quantity::chi_square_reference_policy: return t.chi_square_reference_policy;
    case Quantity::hellinger: return t.hellinger;
    case Quantity::jensen_shannon: return t.jensen_shannon;
    case Quantity::total_variation: return t.total_variation;
    case Quantity::same_top: return t.same_top;
    case Quantity::renyi: return t.renyi;
  }
  return NAN;
}

/// See has_value().
KLMESH_HD inline bool quantity_exists(const TokenStats& token, Quantity quantity) {
  if (quantity_needs_target(quantity)) return (token.flags & kHasTarget) != 0;
  // The extended quantities are NaN where they were not asked for; a core one never is, and would be a defect to see.
  return quantity < Quantity::chi_square || !std::isnan(quantity_value(token, quantity));
}

}  // namespace klmesh
