// From merged partials to a row's statistics. Host and device: the formulas and their order are the same, the last bits of
// log, log1p and expm1 are each library's own, so that results of CPU and GPU agree within the bars, not in bits.
#pragma once

#include <cmath>

#include "klmesh/divergence.hpp"
#include "klmesh/estimators.hpp"

namespace klmesh {
namespace detail {

// x - exponent ln 2, to the last bit however large the exponent is.
KLMESH_HD inline double above_reference(double x, double exponent) {
  return std::fma(-exponent, kLn2Low, std::fma(-exponent, kLn2, x));
}

struct Divergences {
  double reverse;
  double forward;
};

// x + exponent ln 2.
KLMESH_HD inline double with_reference(double x, double exponent) {
  return std::fma(exponent, kLn2, std::fma(exponent, kLn2Low, x));
}

// What rounding leaves below 0 of a value that cannot be; NaN stays NaN, to be seen.
KLMESH_HD inline double non_negative(double x) { return x < 0.0 ? 0.0 : x; }

// b - a, rounded once after both exponents' parts are off: error-free for logits of any type.
KLMESH_HD inline double target_log_ratio(const RowPartial& row, double log_ratio_shift) {
  const double b = row.target_reference, a = row.target_policy;
  const double s = b - a;
  if (std::isinf(s)) return s;
  const double bb = s - b;
  const double error = (b - (s - bb)) - (a + bb);
  return ((above_reference(s, row.reference_exponent - row.exponent) - row.pivot) + error) - log_ratio_shift;
}

// Both KLs, with the pivot moved to where M' = 0. Neither is negative (Gibbs).
KLMESH_HD inline Divergences divergences(const RowPartial& row, double q) {
  if (std::fabs(q) < 0.5) {
    const double overshoot = q_minus_log1p(q);  // K'/S = K/S - (q - log1p q)
    const double forward = (row.F / row.S - (q * std::log1p(q) - overshoot)) / (1.0 + q);
    return {non_negative(row.K / row.S - overshoot), non_negative(forward)};
  }
  const double shift = std::log1p(q);
  return {non_negative(shift - row.T / row.S), non_negative((row.F + row.M) / (row.S + row.M) - shift)};
}

// A row of which nothing is known yet.
KLMESH_HD inline TokenStats unknown_row(const RowPartial& row) {
  TokenStats t;
  t.kl_reverse = t.kl_forward = t.entropy_policy = t.entropy_reference = NAN;
  t.cross_entropy_policy_reference = t.cross_entropy_reference_policy = t.lse_reference = NAN;
  t.logp_policy = t.logp_reference = t.k1 = t.k2 = t.k3 = NAN;
  t.chi_square = t.chi_square_reference_policy = t.hellinger = t.total_variation = NAN;
  t.same_top = t.jensen_shannon = t.renyi = t.normalizer.kl_policy_mixture = NAN;
  t.flags = row.flags;
  t.invalid_column = row.invalid_column;
  return t;
}

}  // namespace detail

/// See finish().
KLMESH_HD inline TokenStats finish_row(const RowPartial& row, bool has_target) {
  TokenStats t = detail::unknown_row(row);
  if (t.invalid_logits()) return t;

  const double sum_reference = row.S + row.M;
  const double q = row.M / row.S;
  const double log_sum_policy = std::log(row.S);
  const double log_ratio_shift = std::log1p(q);

  const detail::Divergences kl = detail::divergences(row, q);
  t.kl_reverse = (row.flags & kKlReverseInfinite) != 0 ? HUGE_VAL : kl.reverse;
  t.kl_forward = (row.flags & kKlForwardInfinite) != 0 ? HUGE_VAL : kl.forward;
  t.entropy_policy = detail::non_negative(log_sum_policy - row.E / row.S);
  t.entropy_reference = detail::non_negative(std::log(sum_reference) - row.R / sum_reference);
  t.cross_entropy_policy_reference = t.entropy_policy + t.kl_reverse;
  t.cross_entropy_reference_policy = t.entropy_reference + t.kl_forward;
  const double steps = row.reference_exponent - row.exponent;
  t.normalizer = {detail::with_reference(log_sum_policy, row.exponent),
                  detail::with_reference(row.pivot + log_ratio_shift, steps), t.kl_reverse, t.entropy_policy, NAN};
  t.lse_reference = detail::with_reference(row.pivot + std::log(sum_reference), row.reference_exponent);

  if (has_target && (row.flags & kHasTarget) != 0) {
    t.logp_policy = detail::above_reference(row.target_policy, row.exponent) - log_sum_policy;
    t.logp_reference =
        detail::above_reference(row.target_reference, row.reference_exponent) - row.pivot - std::log(sum_reference);
    const Estimators k = estimators(detail::target_log_ratio(row, log_ratio_shift));
    t.k1 = k.k1;
    t.k2 = k.k2;
    t.k3 = k.k3;
  }
  return t;
}

/// See finish_extended().
KLMESH_HD inline void finish_extended_row(const ExtendedPartial& row, TokenStats& t) {
  if (t.invalid_logits()) return;
  const double a = t.normalizer.lse_policy;
  const double difference = t.normalizer.lse_difference;
  // ln sum pi^2/ref = ln sum e^(2a-b) - 2A + B, and so on. Never below 0 (Cauchy-Schwarz).
  const double log_policy = (row.policy_squared.log() - a) + difference;
  const double log_reference = (row.reference_squared.log() - a) - 2.0 * difference;
  const double log_geometric = (row.geometric.log() - a) - 0.5 * difference;
  t.chi_square = (t.flags & kKlReverseInfinite) != 0 ? HUGE_VAL : detail::non_negative(std::expm1(log_policy));
  t.chi_square_reference_policy =
      (t.flags & kKlForwardInfinite) != 0 ? HUGE_VAL : detail::non_negative(std::expm1(log_reference));
  const double hellinger = detail::non_negative(0.0 - std::expm1(log_geometric));
  t.hellinger = hellinger > 1.0 ? 1.0 : hellinger;
  t.same_top = row.top_policy_column == row.top_reference_column ? 1.0 : 0.0;
}

/// See finish_renyi().
KLMESH_HD inline void finish_renyi_row(const ExtendedPartial& row, double alpha, TokenStats& t) {
  if (t.invalid_logits()) return;
  if (alpha == 1.0 || t.kl_reverse == 0.0) {  // identical rows: nothing that rounding left
    t.renyi = t.kl_reverse;
    return;
  }
  const bool missing = alpha > 1.0 && (t.flags & kKlReverseInfinite) != 0;
  // ln sum pi^alpha ref^(1 - alpha) = ln sum e^(alpha a + (1 - alpha) b) - A - (1 - alpha) (B - A)
  const double weight = 1.0 - alpha;
  const double log_sum = (row.renyi.log() - t.normalizer.lse_policy) - weight * t.normalizer.lse_difference;
  t.renyi = missing ? HUGE_VAL : detail::non_negative(0.0 - log_sum / weight);
}

}  // namespace klmesh
