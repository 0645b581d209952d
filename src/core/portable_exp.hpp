// e^x and e^x - 1 with a fixed order of operations: no libm, the same bits on host and device. For values that enter
// exact sums, whose bits would tell the two apart.
#pragma once

#include <cmath>
#include <limits>

#include "klmesh/row_partial.hpp"

namespace klmesh {
namespace detail {

// x = steps ln 2 + r with |r| <= ln 2 / 2; e^x = 2^steps (1 + expm1_r).
struct ReducedExp {
  double steps, expm1_r;
};

// For |x| < 800; compile without contraction of a*b + c.
KLMESH_HD inline ReducedExp reduce_exp(double x) {
  constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits: steps * kLn2High is exact
  constexpr double kLn2Rest = 0x1.ef35793c76730p-45;
  const double steps = std::rint(x * 1.4426950408889634);
  const double high = x - steps * kLn2High;
  const double low = steps * kLn2Rest;
  const double r = high - low;
  const double left = (high - r) - low;
  // r^2 (1/2! + r/3! + ... + r^12/14!)
  constexpr double kInverseFactorial[] = {1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
                                          1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600,
                                          1.0 / 6227020800.0, 1.0 / 87178291200.0};
  double p = kInverseFactorial[12];
  for (int i = 11; i >= 0; --i) p = p * r + kInverseFactorial[i];
  return {steps, r + (r * r * p + (left + left * r))};
}

}  // namespace detail

/// e^x - 1, within 2 units in the last place.
KLMESH_HD inline double portable_expm1(double x) {
  if (!(x < 710.0)) return x + HUGE_VAL;  // NaN stays NaN
  if (x < -60.0) return -1.0;
  const detail::ReducedExp e = detail::reduce_exp(x);
  // 2^1024 is no double: half of it is scaled, and doubled at the end, where it may overflow.
  const double half = std::ldexp(1.0, static_cast<int>(e.steps) - 1);
  return 2.0 * (half * e.expm1_r + (half - 0.5));
}

/// e^x, within 2 units in the last place, subnormal results included.
KLMESH_HD inline double portable_exp(double x) {
  if (!(x < 710.0)) return x + HUGE_VAL;
  if (x < -746.0) return 0.0;
  const detail::ReducedExp e = detail::reduce_exp(x);
  return std::ldexp(1.0 + e.expm1_r, static_cast<int>(e.steps));
}

}  // namespace klmesh
