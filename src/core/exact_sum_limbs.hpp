// How a double, or a product of two, is cut into the limbs of an exact sum. Host and device.
#pragma once

#include <cstdint>

#include "klmesh/row_partial.hpp"

namespace klmesh {

// A number is sum_i limb[i] * 2^(32 i - offset), limbs signed 64-bit. Adding touches three to five limbs and never
// carries, so 2^31 additions (and as many ranks) fit before normalize() is due, and the sum over ranks of two
// numbers is the plain element-wise integer sum of their limbs.

/// Limbs for any sum of doubles: 2^-1088 up to 2^1056.
inline constexpr int kValueLimbs = 67;
inline constexpr int kValueOffset = 1088;
/// Limbs for any sum of products of two doubles.
inline constexpr int kProductLimbs = 2 * kValueLimbs + 1;
inline constexpr int kProductOffset = 2 * kValueOffset;

/// What one number adds: digit[i] to limb first + i. Digits are below 2^32 in magnitude, all of the number's sign.
template <int kDigits>
struct LimbDigits {
  int first = 0;
  std::int64_t digit[kDigits] = {};
};
using ValueDigits = LimbDigits<3>;
using ProductDigits = LimbDigits<5>;

namespace detail {

inline constexpr std::int64_t kLimbMask = 0xffffffff;
__extension__ using Uint128 = unsigned __int128;

struct Decomposed {
  std::uint64_t mantissa;  // value = +-mantissa * 2^exponent
  int exponent;
  bool negative;
};

KLMESH_HD inline Decomposed decompose(double value) {
  const auto bits = __builtin_bit_cast(std::uint64_t, value);
  const int biased = static_cast<int>((bits >> 52) & 0x7ff);
  const std::uint64_t fraction = bits & 0xfffffffffffffULL;
  const bool negative = (bits >> 63) != 0;
  if (biased == 0) return {fraction, -1074, negative};
  return {fraction | (1ULL << 52), biased - 1075, negative};
}

// +-mantissa * 2^position as digits; position >= 0.
template <int kDigits>
KLMESH_HD inline LimbDigits<kDigits> digits_at(Uint128 mantissa, int position, bool negative) {
  LimbDigits<kDigits> digits;
  digits.first = position / 32;
  const int shift = position % 32;
  // 106 bits moved by up to 31 do not fit 128: the lowest digit is taken off first.
  const auto low = static_cast<std::int64_t>((static_cast<std::uint64_t>(mantissa) << shift) & kLimbMask);
  digits.digit[0] = negative ? -low : low;
  Uint128 rest = mantissa >> (32 - shift);
  for (int i = 1; i < kDigits; ++i, rest >>= 32) {
    const auto piece = static_cast<std::int64_t>(static_cast<std::uint64_t>(rest) & kLimbMask);
    digits.digit[i] = negative ? -piece : piece;
  }
  return digits;
}

}  // namespace detail

/// Digits of a finite value among kValueLimbs.
KLMESH_HD inline ValueDigits value_digits(double value) {
  const detail::Decomposed v = detail::decompose(value);
  return detail::digits_at<3>(v.mantissa, v.exponent + kValueOffset, v.negative);
}

/// Digits of x * y, exactly, among kProductLimbs; both finite.
KLMESH_HD inline ProductDigits product_digits(double x, double y) {
  const detail::Decomposed a = detail::decompose(x);
  const detail::Decomposed b = detail::decompose(y);
  return detail::digits_at<5>(static_cast<detail::Uint128>(a.mantissa) * b.mantissa,
                              a.exponent + b.exponent + kProductOffset, a.negative != b.negative);
}

/// Brings every limb but the last into [0, 2^32); the represented number does not change. After it, equal numbers have
/// equal limbs.
KLMESH_HD inline void carry_limbs(std::int64_t* limbs, int count) {
  for (int i = 0; i + 1 < count; ++i) {
    const std::int64_t carry = limbs[i] >> 32;  // floor division: C++20 shifts are arithmetic
    limbs[i] &= detail::kLimbMask;
    limbs[i + 1] += carry;
  }
}

}  // namespace klmesh
