#include <algorithm>
#include <cmath>
#include <limits>

#include "klmesh/divergence.hpp"
#include "klmesh/estimators.hpp"

namespace klmesh {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// x - exponent ln 2, to the last bit however large the exponent is.
double above_reference(double x, double exponent) {
  return std::fma(-exponent, kLn2Low, std::fma(-exponent, kLn2, x));
}

struct Divergences {
  double reverse;
  double forward;
};

// Both KLs, with the pivot moved to where M' = 0. Gibbs: neither is negative; what rounding leaves below 0 is of the
// order of the last bit of K, and goes to 0.
Divergences divergences(const RowPartial& row, double q) {
  if (std::fabs(q) < 0.5) {
    const double overshoot = detail::q_minus_log1p(q);  // K'/S = K/S - (q - log1p q)
    const double forward = (row.F / row.S - (q * std::log1p(q) - overshoot)) / (1.0 + q);
    return {std::max(0.0, row.K / row.S - overshoot), std::max(0.0, forward)};
  }
  const double shift = std::log1p(q);
  return {std::max(0.0, shift - row.T / row.S), std::max(0.0, (row.F + row.M) / (row.S + row.M) - shift)};
}

TokenStats invalid_row(const RowPartial& row) {
  TokenStats t;
  t.kl_reverse = t.kl_forward = t.entropy_policy = t.entropy_reference = kNan;
  t.cross_entropy_policy_reference = t.cross_entropy_reference_policy = kNan;
  t.logp_policy = t.logp_reference = t.k1 = t.k2 = t.k3 = kNan;
  t.flags = row.flags;
  t.invalid_column = row.invalid_column;
  return t;
}

}  // namespace

TokenStats finish(const RowPartial& row, bool has_target) {
  TokenStats t;
  t.flags = row.flags;
  t.invalid_column = row.invalid_column;
  if (t.invalid_logits()) return invalid_row(row);

  const double sum_reference = row.S + row.M;
  const double q = row.M / row.S;
  const double log_sum_policy = std::log(row.S);
  const double log_ratio_shift = std::log1p(q);
  t.normalizer = {row.exponent, log_sum_policy, row.pivot, log_ratio_shift};

  const Divergences kl = divergences(row, q);
  t.kl_reverse = (row.flags & kKlReverseInfinite) != 0 ? kInf : kl.reverse;
  t.kl_forward = (row.flags & kKlForwardInfinite) != 0 ? kInf : kl.forward;
  t.entropy_policy = std::max(0.0, log_sum_policy - row.E / row.S);
  t.entropy_reference = std::max(0.0, std::log(sum_reference) - row.R / sum_reference);
  t.cross_entropy_policy_reference = t.entropy_policy + t.kl_reverse;
  t.cross_entropy_reference_policy = t.entropy_reference + t.kl_forward;

  if (has_target && (row.flags & kHasTarget) != 0) {
    t.logp_policy = above_reference(row.target_policy, row.exponent) - log_sum_policy;
    t.logp_reference =
        above_reference(row.target_reference, row.exponent) - row.pivot - std::log(sum_reference);
    const Estimators k =
        estimators((row.target_reference - row.target_policy - row.pivot) - log_ratio_shift);
    t.k1 = k.k1;
    t.k2 = k.k2;
    t.k3 = k.k3;
  } else {
    t.logp_policy = t.logp_reference = t.k1 = t.k2 = t.k3 = kNan;
  }
  return t;
}

}  // namespace klmesh
