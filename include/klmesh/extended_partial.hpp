// The sums that chi-square, Hellinger, Renyi and same-top need beyond a RowPartial, and how two runs of columns merge.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "klmesh/row_partial.hpp"

namespace klmesh {

/// A positive sum as mantissa * 2^exponent, so that it neither overflows nor depends on anything but its terms.
struct ScaledSum {
  double mantissa = 0;
  double exponent = -std::numeric_limits<double>::infinity();  ///< an integer; -inf for an empty sum

  /// ln of the sum; -inf if it is empty.
  KLMESH_HD double log() const { return mantissa > 0 ? std::log(mantissa) + exponent * kLn2 : exponent; }
};

/// left + right. Powers of two alone are multiplied, so only the addition rounds.
KLMESH_HD inline ScaledSum merge(ScaledSum left, ScaledSum right) {
  if (!(right.mantissa > 0)) return left;
  if (!(left.mantissa > 0)) return right;
  const double exponent = left.exponent > right.exponent ? left.exponent : right.exponent;
  const auto scaled = [exponent](const ScaledSum& s) {
    const double steps = s.exponent - exponent;
    return steps < -1100.0 ? 0.0 : std::ldexp(s.mantissa, static_cast<int>(steps));
  };
  return {scaled(left) + scaled(right), exponent};
}

/// Sums over a run of columns of one row, from the logits themselves: 88 bytes beside the 104 of the core.
struct ExtendedPartial {
  ScaledSum policy_squared;     ///< sum e^(2a - b): chi_square
  ScaledSum reference_squared;  ///< sum e^(2b - a): chi_square_reference_policy
  ScaledSum geometric;          ///< sum e^((a + b) / 2): hellinger
  ScaledSum renyi;              ///< sum e^(alpha a + (1 - alpha) b), where a Renyi divergence was asked for
  double top_policy = -std::numeric_limits<double>::infinity();
  double top_reference = -std::numeric_limits<double>::infinity();
  std::int32_t top_policy_column = -1;
  std::int32_t top_reference_column = -1;
};
static_assert(sizeof(ExtendedPartial) == 88);

/// Merges disjoint runs of columns; `left` holds the lower columns. Fold along the slice tree, as RowPartial.
KLMESH_HD inline ExtendedPartial merge(const ExtendedPartial& left, const ExtendedPartial& right) {
  ExtendedPartial merged;
  merged.policy_squared = merge(left.policy_squared, right.policy_squared);
  merged.reference_squared = merge(left.reference_squared, right.reference_squared);
  merged.geometric = merge(left.geometric, right.geometric);
  merged.renyi = merge(left.renyi, right.renyi);
  const bool policy_right = right.top_policy > left.top_policy;
  const bool reference_right = right.top_reference > left.top_reference;
  merged.top_policy = policy_right ? right.top_policy : left.top_policy;
  merged.top_policy_column = policy_right ? right.top_policy_column : left.top_policy_column;
  merged.top_reference = reference_right ? right.top_reference : left.top_reference;
  merged.top_reference_column = reference_right ? right.top_reference_column : left.top_reference_column;
  return merged;
}

}  // namespace klmesh
