#include "core/exact_sum.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace klmesh {
namespace {

using detail::kLimbMask;

template <int kDigits>
void add(std::span<std::int64_t> limbs, const LimbDigits<kDigits>& digits) {
  for (int i = 0; i < kDigits; ++i) limbs[static_cast<std::size_t>(digits.first + i)] += digits.digit[i];
}

// Sign and magnitude, base 2^32, lowest digit first.
struct Wide {
  std::vector<std::uint32_t> digits;
  bool negative = false;
};

Wide to_wide(std::span<const std::int64_t> limbs) {
  std::vector<std::int64_t> copy(limbs.begin(), limbs.end());
  copy.resize(copy.size() + 2, 0);  // room for carries
  normalize(copy);
  Wide wide;
  wide.negative = copy.back() < 0;
  if (wide.negative) {
    for (std::int64_t& limb : copy) limb = -limb;
    normalize(copy);
  }
  wide.digits.reserve(copy.size());
  for (const std::int64_t limb : copy) wide.digits.push_back(static_cast<std::uint32_t>(limb));
  return wide;
}

std::vector<std::int64_t> multiply(const std::vector<std::uint32_t>& x, const std::vector<std::uint32_t>& y) {
  std::vector<std::int64_t> product(x.size() + y.size(), 0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::uint64_t carry = 0;
    for (std::size_t j = 0; j < y.size(); ++j) {
      const std::uint64_t t = static_cast<std::uint64_t>(x[i]) * y[j] + static_cast<std::uint64_t>(product[i + j]) + carry;
      product[i + j] = static_cast<std::int64_t>(t & kLimbMask);
      carry = t >> 32;
    }
    product[i + y.size()] = static_cast<std::int64_t>(carry);
  }
  return product;
}

// n * sum(x y) - sum x sum y, as limbs.
std::vector<std::int64_t> scaled_moment(std::int64_t n, std::span<const std::int64_t> sum_x,
                                        std::span<const std::int64_t> sum_y,
                                        std::span<const std::int64_t> products) {
  const std::vector<std::uint32_t> count{static_cast<std::uint32_t>(n & kLimbMask),
                                         static_cast<std::uint32_t>(n >> 32)};
  const Wide x = to_wide(sum_x);
  const Wide y = to_wide(sum_y);
  const Wide xy = to_wide(products);
  std::vector<std::int64_t> difference = multiply(count, xy.digits);
  if (xy.negative) {
    for (std::int64_t& limb : difference) limb = -limb;
  }
  const std::vector<std::int64_t> product_of_sums = multiply(x.digits, y.digits);
  difference.resize(std::max(difference.size(), product_of_sums.size()), 0);
  for (std::size_t i = 0; i < product_of_sums.size(); ++i) {
    difference[i] += x.negative != y.negative ? product_of_sums[i] : -product_of_sums[i];
  }
  return difference;
}

// Rounds magnitude * 2^-offset to the nearest double.
double round_magnitude(const std::vector<std::uint32_t>& digits, int offset) {
  auto top = static_cast<int>(digits.size()) - 1;
  while (top >= 0 && digits[static_cast<std::size_t>(top)] == 0) --top;
  if (top < 0) return 0.0;
  const int bits = 32 * top + static_cast<int>(std::bit_width(digits[static_cast<std::size_t>(top)]));
  // Keep 53 bits, fewer where the result is subnormal; everything below decides the rounding.
  const int lowest = std::max(bits - 53, offset - 1074);
  if (lowest > bits) return 0.0;
  const auto bit = [&](int i) {
    return i >= 0 && ((digits[static_cast<std::size_t>(i / 32)] >> (i % 32)) & 1u) != 0;
  };
  std::uint64_t kept = 0;
  for (int i = bits - 1; i >= lowest; --i) kept = 2 * kept + (i < 0 ? 0u : static_cast<std::uint64_t>(bit(i)));
  bool sticky = false;
  for (int i = lowest - 2; i >= 0 && !sticky; --i) sticky = bit(i);
  if (bit(lowest - 1) && (sticky || (kept & 1) != 0)) ++kept;
  return std::ldexp(static_cast<double>(kept), lowest - offset);
}

}  // namespace

void add_value(std::span<std::int64_t> limbs, double value) { add(limbs, value_digits(value)); }

void add_product(std::span<std::int64_t> limbs, double x, double y) { add(limbs, product_digits(x, y)); }

void normalize(std::span<std::int64_t> limbs) { carry_limbs(limbs.data(), static_cast<int>(limbs.size())); }

double to_double(std::span<const std::int64_t> limbs, int offset) {
  const Wide wide = to_wide(limbs);
  const double magnitude = round_magnitude(wide.digits, offset);
  return wide.negative ? -magnitude : magnitude;
}

double scaled_deviation(std::int64_t n, std::span<const std::int64_t> sum, std::span<const std::int64_t> squares) {
  const std::vector<std::int64_t> difference = scaled_moment(n, sum, sum, squares);
  // Squares of what a double holds need not fit a double: take the root at a scale where they do.
  constexpr int kShift = 600;
  const double plain = to_double(difference, kProductOffset);
  if (std::isfinite(plain) && plain > 0x1p-900) return std::sqrt(plain);
  const int shift = std::isfinite(plain) ? -kShift : kShift;
  return std::ldexp(std::sqrt(to_double(difference, kProductOffset + 2 * shift)), shift);
}

double scaled_covariance(std::int64_t n, std::span<const std::int64_t> sum_x, std::span<const std::int64_t> sum_y,
                         std::span<const std::int64_t> products) {
  return to_double(scaled_moment(n, sum_x, sum_y, products), kProductOffset);
}

}  // namespace klmesh
