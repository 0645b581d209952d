// The heart: what one run of columns contributes to a row, and how two runs merge. Pure functions, host and device.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "klmesh/host_device.hpp"

namespace klmesh {

inline constexpr double kLn2 = 0.69314718055994530942;
/// ln 2 - kLn2, so that n ln 2 can be subtracted without error for any integer n
inline constexpr double kLn2Low = 2.3190468138462996e-17;

/// Conditions met among the columns of a partial; they add up by bitwise or.
enum RowFlag : std::uint32_t {
  kPolicyHasMass = 1u << 0,        ///< some policy logit is finite
  kReferenceHasMass = 1u << 1,     ///< some reference logit is finite
  kKlReverseInfinite = 1u << 2,    ///< pi > 0 where ref = 0
  kKlForwardInfinite = 1u << 3,    ///< ref > 0 where pi = 0
  kInvalidPolicy = 1u << 4,        ///< NaN or +inf among the policy logits
  kInvalidReference = 1u << 5,     ///< NaN or +inf among the reference logits
  kHasTarget = 1u << 6,            ///< the target column lies in this run of columns
  kTargetOutOfRange = 1u << 7,     ///< the row's target is not in [0, vocab_size)
  kSequenceOutOfRange = 1u << 8,   ///< the row's sequence id is not in [0, sequences)
};

/// Unnormalised sums over a run of columns of one row, centred on a pivot. 104 bytes; what ranks exchange.
///
/// With policy logits a, reference logits b, m = exponent ln 2, and m + c = reference_exponent ln 2 + pivot:
///   w = exp(a - m),  u = b - a - c,
///   S = sum w,  M = sum w expm1(u),  K = sum w (expm1(u) - u),  F = sum w (1 + (u - 1) e^u),
///   T = sum w u,  E = sum w (a - m),  R = sum w e^u (b - m - c).
/// Every term of K and F is >= 0, so nothing is lost where policy and reference are close. Each side has an exponent
/// of its own, so that one side at a finite mask (-1e9) does not round the other's digits away. Columns at -inf carry
/// no mass; what they make infinite is a flag, never an IEEE infinity in a sum.
struct RowPartial {
  double S = 0, M = 0, K = 0, F = 0, T = 0, E = 0, R = 0;
  double pivot = 0;                 ///< c - (reference_exponent - exponent) ln 2, nats
  double exponent = 0;              ///< m / ln 2, an integer: rescaling by it is exact
  double reference_exponent = 0;    ///< an integer
  std::uint32_t flags = 0;          ///< RowFlag bits
  std::int32_t invalid_column = std::numeric_limits<std::int32_t>::max();  ///< first NaN or +inf (global index)
  double target_policy = 0;         ///< a_y if kHasTarget
  double target_reference = 0;      ///< b_y if kHasTarget

  /// c: what was taken off every b - a.
  KLMESH_HD double offset() const { return (reference_exponent - exponent) * kLn2 + pivot; }
};
static_assert(sizeof(RowPartial) == 104);

namespace detail {

// log1p(q) - q is what is left when a pivot is off by q = M/S; the direct form loses it for small q.
KLMESH_HD inline double q_minus_log1p(double q) {
  if (std::fabs(q) >= 0.05) return q - std::log1p(q);
  double sum = 0.0;  // q^2/2 - q^3/3 + ... ; 14 terms leave 0.05^15
  for (int k = 15; k >= 2; --k) sum = (k % 2 == 0 ? 1.0 : -1.0) / k + q * sum;
  return q * q * sum;
}

// expm1(-delta) + delta >= 0, by its series where the direct form cancels; `e` is expm1(-delta).
KLMESH_HD inline double expm1_neg_plus(double delta, double e) {
  if (!(std::fabs(delta) < 0.1)) return e + delta;
  // delta^2 (1/2! - delta/3! + delta^2/4! - ...); 10 terms leave 1e-18
  double sum = -1.0 / 39916800.0;
  sum = sum * delta + 1.0 / 3628800.0;
  sum = sum * delta - 1.0 / 362880.0;
  sum = sum * delta + 1.0 / 40320.0;
  sum = sum * delta - 1.0 / 5040.0;
  sum = sum * delta + 1.0 / 720.0;
  sum = sum * delta - 1.0 / 120.0;
  sum = sum * delta + 1.0 / 24.0;
  sum = sum * delta - 1.0 / 6.0;
  sum = sum * delta + 0.5;
  return delta * delta * sum;
}
KLMESH_HD inline double expm1_neg_plus(double delta) { return expm1_neg_plus(delta, std::expm1(-delta)); }

// Moves the reference m to a larger exponent, at the same c: every sum scales by a power of two, which is exact.
KLMESH_HD inline void raise_exponent(RowPartial& p, double exponent) {
  if (p.exponent == exponent) return;
  const double steps = p.exponent - exponent;  // < 0
  const double scale = steps < -1100.0 ? 0.0 : std::ldexp(1.0, static_cast<int>(steps));
  const double d = steps * kLn2;
  const double sum_reference = p.S + p.M;
  p.E = scale * p.E + d * (scale * p.S);
  p.R = scale * p.R + d * (scale * sum_reference);
  p.S *= scale;
  p.M *= scale;
  p.K *= scale;
  p.F *= scale;
  p.T *= scale;
  p.reference_exponent -= steps;
  p.exponent = exponent;
}

// Moves c, at the same exponent, without a second pass over the columns.
KLMESH_HD inline void move_pivot(RowPartial& p, double reference_exponent, double pivot) {
  const double delta = (reference_exponent - p.reference_exponent) * kLn2 + (pivot - p.pivot);
  p.reference_exponent = reference_exponent;
  p.pivot = pivot;
  if (delta == 0.0) return;
  const double e = std::expm1(-delta);
  const double g = std::fabs(delta) < 0.5 ? 1.0 + e : std::exp(-delta);
  const double e_plus = expm1_neg_plus(delta, e);
  const double sum_reference = p.S + p.M;
  const double M = g * p.M + e * p.S;
  const double K = p.K + e * p.M + p.S * e_plus;
  const double F = g * p.F - p.S * (e_plus + e * delta) - g * delta * p.M;
  p.R = g * (p.R - delta * sum_reference);
  p.T -= delta * p.S;
  p.M = M;
  p.K = K;
  p.F = F;
}

// Where a partial's sums are centred.
struct Centre {
  double exponent, reference_exponent, pivot;
};

// Moves both references by whatever distance: policy-side and reference-side sums scale each by a factor formed from
// its own exponent, so that neither overflows, nor loses its digits, through the other.
KLMESH_HD inline void move_far(RowPartial& p, const Centre& to) {
  if (p.exponent == to.exponent && p.reference_exponent == to.reference_exponent && p.pivot == to.pivot) return;
  const double d_policy = (p.exponent - to.exponent) * kLn2;
  const double d_reference = (p.reference_exponent - to.reference_exponent) * kLn2 + (p.pivot - to.pivot);
  const double delta = d_policy - d_reference;  // c rises by this
  const bool has_policy = (p.flags & kPolicyHasMass) != 0;
  const bool has_reference = (p.flags & kReferenceHasMass) != 0;
  const double alpha = has_policy ? std::exp(d_policy) : 0.0;
  const double beta = has_reference ? std::exp(d_reference) : 0.0;
  const double moment = has_reference ? beta * (p.F + p.M) : 0.0;     // sum u w e^u, at the old c
  const double reference = has_reference ? beta * (p.S + p.M) : 0.0;  // sum w e^u
  p.R = has_reference ? beta * p.R + d_reference * reference : 0.0;
  p.E = has_policy ? alpha * p.E + d_policy * (alpha * p.S) : 0.0;
  p.S *= alpha;
  p.T = has_policy ? alpha * p.T - delta * p.S : 0.0;
  p.M = reference - p.S;
  p.F = has_reference ? (moment - delta * reference) - p.M : p.S;
  p.K = p.M - p.T;
  p.exponent = to.exponent;
  p.reference_exponent = to.reference_exponent;
  p.pivot = to.pivot;
}

// The merge of sides that share nothing (one has no policy or no reference mass) or whose pivots are far apart: both
// move to the larger policy reference and to the larger reference reference. A side without policy mass has no say
// in the former, a side without reference mass none in the latter.
KLMESH_HD inline void align_far(RowPartial& left, RowPartial& right) {
  const bool policy_left = (left.flags & kPolicyHasMass) != 0;
  const bool policy_right = (right.flags & kPolicyHasMass) != 0;
  const bool reference_left = (left.flags & kReferenceHasMass) != 0;
  const bool reference_right = (right.flags & kReferenceHasMass) != 0;
  const bool exponent_from_left = policy_left && policy_right ? left.exponent >= right.exponent : policy_left || !policy_right;
  const double lead =
      (left.reference_exponent - right.reference_exponent) * kLn2 + (left.pivot - right.pivot);
  const bool pivot_from_left = reference_left && reference_right ? lead >= 0.0 : reference_left || !reference_right;
  const RowPartial& reference = pivot_from_left ? left : right;
  const Centre centre{exponent_from_left ? left.exponent : right.exponent, reference.reference_exponent,
                      reference.pivot};
  move_far(left, centre);
  move_far(right, centre);
}

// Both sides know both distributions and agree roughly on the offset between them: both move to the larger
// reference, then the lighter side to the heavier side's pivot.
KLMESH_HD inline void align_near(RowPartial& left, RowPartial& right) {
  const double exponent = std::fmax(left.exponent, right.exponent);
  raise_exponent(left, exponent);
  raise_exponent(right, exponent);
  if (right.S > left.S) {
    move_pivot(left, right.reference_exponent, right.pivot);
  } else {
    move_pivot(right, left.reference_exponent, left.pivot);
  }
}

}  // namespace detail

namespace detail {

// 2^steps for integer steps <= 0; 0 where that is nothing beside what it is added to.
KLMESH_HD inline double scale_down(double steps) {
  if (steps < -1000.0) return 0.0;
  const auto bits = static_cast<std::uint64_t>(1023 + static_cast<std::int64_t>(steps)) << 52;
  double scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return scale;
}

// Both sides are centred on the same c, as almost always. Differences of like exponents are exact; a c itself may be
// rounded, where one side is at a finite mask.
KLMESH_HD inline bool same_pivot(const RowPartial& left, const RowPartial& right) {
  constexpr std::uint32_t mass = kPolicyHasMass | kReferenceHasMass;
  return (left.flags & right.flags & mass) == mass && left.pivot == right.pivot &&
         left.exponent - right.exponent == left.reference_exponent - right.reference_exponent;
}

// align_near() and the sums, where no pivot moves: the same arithmetic without its calls.
KLMESH_HD inline RowPartial merge_same_pivot(const RowPartial& left, const RowPartial& right) {
  const double exponent = left.exponent > right.exponent ? left.exponent : right.exponent;
  const double left_steps = left.exponent - exponent, right_steps = right.exponent - exponent;
  const double x = scale_down(left_steps), y = scale_down(right_steps);
  const double left_d = left_steps * kLn2, right_d = right_steps * kLn2;
  RowPartial p;
  p.S = x * left.S + y * right.S;
  p.M = x * left.M + y * right.M;
  p.K = x * left.K + y * right.K;
  p.F = x * left.F + y * right.F;
  p.T = x * left.T + y * right.T;
  p.E = (x * left.E + left_d * (x * left.S)) + (y * right.E + right_d * (y * right.S));
  p.R = (x * left.R + left_d * (x * (left.S + left.M))) + (y * right.R + right_d * (y * (right.S + right.M)));
  p.pivot = left.pivot;
  p.exponent = exponent;
  p.reference_exponent = left.exponent > right.exponent ? left.reference_exponent : right.reference_exponent;
  return p;
}

// Sums of two sides of which one moves, or both.
KLMESH_HD inline RowPartial merge_moving(RowPartial left, RowPartial right) {
  constexpr std::uint32_t mass = kPolicyHasMass | kReferenceHasMass;
  // A shift by delta amplifies what M rounds off by e^delta; there and back, 12 leaves 4e-11 of it.
  constexpr double kFarPivots = 12.0;

  if ((right.flags & mass) == 0) return left;
  if ((left.flags & mass) == 0) return right;
  const bool both_full = (left.flags & mass) == mass && (right.flags & mass) == mass;
  if (both_full && std::fabs(left.offset() - right.offset()) <= kFarPivots) {
    align_near(left, right);
  } else {
    align_far(left, right);
  }
  left.S += right.S;
  left.M += right.M;
  left.K += right.K;
  left.F += right.F;
  left.T += right.T;
  left.E += right.E;
  left.R += right.R;
  return left;
}

}  // namespace detail

/// Merges the partials of two disjoint runs of columns of one row; `left` holds the lower columns.
///
/// Not associative in the last bits: callers fold along the fixed tree over the canonical slices (fold.hpp). The
/// lighter side (smaller S at the common reference) moves to the heavier side's pivot; ties go to the left.
/// Source: rescaled sums, Milakov and Gimelshein 2018, extended by the pivot.
KLMESH_HD inline RowPartial merge(const RowPartial& left, const RowPartial& right) {
  RowPartial merged =
      detail::same_pivot(left, right) ? detail::merge_same_pivot(left, right) : detail::merge_moving(left, right);
  const RowPartial& target = (left.flags & kHasTarget) != 0 ? left : right;
  merged.target_policy = target.target_policy;
  merged.target_reference = target.target_reference;
  merged.flags = left.flags | right.flags;
  merged.invalid_column = left.invalid_column < right.invalid_column ? left.invalid_column : right.invalid_column;
  return merged;
}

}  // namespace klmesh
