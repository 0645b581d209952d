// Gumbel noise in fp64 with a fixed order of operations: no libm, the same bits on host and device.
#pragma once

#include <cstdint>
#include <cstring>

#include "klmesh/row_partial.hpp"

namespace klmesh::loop {

/// Natural logarithm of a normal x > 0, within 2 units in the last place. Compile without contraction of a*b
/// + c (nvcc: -fmad=false): the order of operations below is what makes results reproducible.
KLMESH_HD inline double natural_log(double x) {
  constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits: exponent * kLn2High is exact
  constexpr double kLn2Low = 0x1.ef35793c76730p-45;
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  // x = 2^exponent * m with m in [sqrt(1/2), sqrt 2), so that the series argument is at most 0.172.
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCDull;
  const std::int64_t exponent = static_cast<std::int64_t>(bits - kSqrtHalf) >> 52;
  bits -= static_cast<std::uint64_t>(exponent) << 52;
  double m;
  std::memcpy(&m, &bits, sizeof m);
  const double f = m - 1.0;  // exact
  const double s = f / (2.0 + f);
  const double z = s * s;
  // log m = 2 atanh(s) = 2 s + s z * 2 (1/3 + z/5 + ...): the tail is small against the leading term.
  double tail = 2.0 / 21;
  tail = tail * z + 2.0 / 19;
  tail = tail * z + 2.0 / 17;
  tail = tail * z + 2.0 / 15;
  tail = tail * z + 2.0 / 13;
  tail = tail * z + 2.0 / 11;
  tail = tail * z + 2.0 / 9;
  tail = tail * z + 2.0 / 7;
  tail = tail * z + 2.0 / 5;
  tail = tail * z + 2.0 / 3;
  // 2 s = f - s f: f is exact, so the error of the division only enters through the small product.
  const double e = static_cast<double>(exponent);
  return e * kLn2High + (f - (s * (f - z * tail) - e * kLn2Low));
}

/// Standard Gumbel noise -log(-log u) of a uniform u in (0, 1).
KLMESH_HD inline double gumbel(double u) { return -natural_log(-natural_log(u)); }

}  // namespace klmesh::loop
