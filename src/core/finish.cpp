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

// x + exponent ln 2.
double with_reference(double x, double exponent) {
  return std::fma(exponent, kLn2, std::fma(exponent, kLn2Low, x));
}

// What rounding leaves below 0 of a value that cannot be; NaN stays NaN, to be seen.
double non_negative(double x) { return x < 0.0 ? 0.0 : x; }

// b - a, rounded once after both exponents' parts are off: error-free for logits of any type.
double target_log_ratio(const RowPartial& row, double log_ratio_shift) {
  const double b = row.target_reference, a = row.target_policy;
  const double s = b - a;
  if (std::isinf(s)) return s;
  const double bb = s - b;
  const double error = (b - (s - bb)) - (a + bb);
  return ((above_reference(s, row.reference_exponent - row.exponent) - row.pivot) + error) - log_ratio_shift;
}

// Both KLs, with the pivot moved to where M' = 0. Neither is negative (Gibbs).
Divergences divergences(const RowPartial& row, double q) {
  if (std::fabs(q) < 0.5) {
    const double overshoot = detail::q_minus_log1p(q);  // K'/S = K/S - (q - log1p q)
    const double forward = (row.F / row.S - (q * std::log1p(q) - overshoot)) / (1.0 + q);
    return {non_negative(row.K / row.S - overshoot), non_negative(forward)};
  }
  const double shift = std::log1p(q);
  return {non_negative(shift - row.T / row.S), non_negative((row.F + row.M) / (row.S + row.M) - shift)};
}

// A row of which nothing is known yet.
TokenStats unknown_row(const RowPartial& row) {
  TokenStats t;
  t.kl_reverse = t.kl_forward = t.entropy_policy = t.entropy_reference = kNan;
  t.cross_entropy_policy_reference = t.cross_entropy_reference_policy = t.lse_reference = kNan;
  t.logp_policy = t.logp_reference = t.k1 = t.k2 = t.k3 = kNan;
  t.chi_square = t.chi_square_reference_policy = t.hellinger = t.total_variation = kNan;
  t.same_top = t.jensen_shannon = kNan;
  t.flags = row.flags;
  t.invalid_column = row.invalid_column;
  return t;
}

}  // namespace

TokenStats finish(const RowPartial& row, bool has_target) {
  TokenStats t = unknown_row(row);
  if (t.invalid_logits()) return t;

  const double sum_reference = row.S + row.M;
  const double q = row.M / row.S;
  const double log_sum_policy = std::log(row.S);
  const double log_ratio_shift = std::log1p(q);

  const Divergences kl = divergences(row, q);
  t.kl_reverse = (row.flags & kKlReverseInfinite) != 0 ? kInf : kl.reverse;
  t.kl_forward = (row.flags & kKlForwardInfinite) != 0 ? kInf : kl.forward;
  t.entropy_policy = non_negative(log_sum_policy - row.E / row.S);
  t.entropy_reference = non_negative(std::log(sum_reference) - row.R / sum_reference);
  t.cross_entropy_policy_reference = t.entropy_policy + t.kl_reverse;
  t.cross_entropy_reference_policy = t.entropy_reference + t.kl_forward;
  const double steps = row.reference_exponent - row.exponent;
  t.normalizer = {with_reference(log_sum_policy, row.exponent),
                  with_reference(row.pivot + log_ratio_shift, steps), t.kl_reverse, t.entropy_policy};
  t.lse_reference = with_reference(row.pivot + std::log(sum_reference), row.reference_exponent);

  if (has_target && (row.flags & kHasTarget) != 0) {
    t.logp_policy = above_reference(row.target_policy, row.exponent) - log_sum_policy;
    t.logp_reference =
        above_reference(row.target_reference, row.reference_exponent) - row.pivot - std::log(sum_reference);
    const Estimators k = estimators(target_log_ratio(row, log_ratio_shift));
    t.k1 = k.k1;
    t.k2 = k.k2;
    t.k3 = k.k3;
  }
  return t;
}

void finish_extended(const ExtendedPartial& row, TokenStats& t) {
  if (t.invalid_logits()) return;
  const double a = t.normalizer.lse_policy;
  const double difference = t.normalizer.lse_difference;
  // ln sum pi^2/ref = ln sum e^(2a-b) - 2A + B, and so on. Never below 0 (Cauchy-Schwarz).
  const double log_policy = (row.policy_squared.log() - a) + difference;
  const double log_reference = (row.reference_squared.log() - a) - 2.0 * difference;
  const double log_geometric = (row.geometric.log() - a) - 0.5 * difference;
  t.chi_square = (t.flags & kKlReverseInfinite) != 0 ? kInf : non_negative(std::expm1(log_policy));
  t.chi_square_reference_policy = (t.flags & kKlForwardInfinite) != 0 ? kInf : non_negative(std::expm1(log_reference));
  t.hellinger = std::clamp(0.0 - std::expm1(log_geometric), 0.0, 1.0);
  t.same_top = row.top_policy_column == row.top_reference_column ? 1.0 : 0.0;
}

}  // namespace klmesh
