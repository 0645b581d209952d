// Gumbel-max sampling: noise in fp64 with a fixed order of operations (no libm, the same bits on host and device), and
// which of two candidates wins.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/random_block.hpp"
#include "klmesh/row_partial.hpp"

namespace klmesh {

/// Natural logarithm of a normal x > 0, within 2 units in the last place. Compile without contraction of a*b
/// + c (nvcc: -fmad=false): the order of operations below is what makes results reproducible.
KLMESH_HD inline double natural_log(double x) {
  constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits: exponent * kLn2High is exact
  constexpr double kLn2Rest = 0x1.ef35793c76730p-45;
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
  return e * kLn2High + (f - (s * (f - z * tail) - e * kLn2Rest));
}

/// Standard Gumbel noise -log(-log u) of a uniform u in (0, 1).
KLMESH_HD inline double gumbel(double u) { return -natural_log(-natural_log(u)); }

/// Gumbel noise of one vocabulary column at one position, a pure function. One block serves columns 2 j and 2 j + 1.
KLMESH_HD inline double gumbel_noise(const RandomStream& stream, std::uint64_t token_index, std::int64_t column) {
  const RandomWords block = random_words(stream, token_index, static_cast<std::uint32_t>(column / 2));
  return column % 2 == 0 ? gumbel(uniform53(block.word[0], block.word[1]))
                         : gumbel(uniform53(block.word[2], block.word[3]));
}

/// No noise drawn with this high word is larger, by more than rounding in fp32.
///
/// -log(-log u) <= -log(1 - u) <= (24 - floor(log2 c)) ln 2, where c is the number of whole 2^-24 in 1 - u (c = 0: the
/// exponent of 0.0f reads -127, which makes the bound larger still). 24 bits of ~high are c, and the exponent of
/// float(c) is floor(log2 c) exactly.
KLMESH_HD inline float gumbel_bound(std::uint32_t high) {
  constexpr float kLn2Up = 0.69314724f;  // ln 2, rounded up
  const auto c = static_cast<float>(static_cast<std::int32_t>(~high >> 8));
  const std::int32_t leading = 24 + 127 - (__builtin_bit_cast(std::int32_t, c) >> 23);
  return static_cast<float>(leading) * kLn2Up;
}

/// What logit + gumbel_bound() must reach for the column to be looked at: a little below the best score, for rounding.
KLMESH_HD inline float gumbel_threshold(double best) { return static_cast<float>(best - 1e-4 - 1e-6 * std::fabs(best)); }

/// The largest logit plus noise among some columns.
struct GumbelMax {
  double score = 0;
  std::int64_t column = -1;  ///< global vocabulary index; none: no finite logit; invalid: NaN or +inf

  static constexpr std::int64_t none = -1;
  static constexpr std::int64_t invalid = -2;
};

/// The winner among the columns of both; of equal scores the lowest column. Any order of merging gives the same.
KLMESH_HD inline GumbelMax merge(const GumbelMax& left, const GumbelMax& right) {
  if (left.column == GumbelMax::invalid || right.column == GumbelMax::none) return left;
  if (right.column == GumbelMax::invalid || left.column == GumbelMax::none) return right;
  if (left.score != right.score) return left.score > right.score ? left : right;
  return left.column < right.column ? left : right;
}

}  // namespace klmesh
