#include "core/exact_sum.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace klmesh {
namespace {

using Value = std::array<std::int64_t, kValueLimbs>;
using Product = std::array<std::int64_t, kProductLimbs>;

double sum_of(const std::vector<double>& xs) {
  Value limbs{};
  for (const double x : xs) add_value(limbs, x);
  return to_double(limbs, kValueOffset);
}

std::vector<double> wild_numbers(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<double> xs;
  while (xs.size() < count) {
    const double x = std::bit_cast<double>(random());
    if (std::isfinite(x) && std::fabs(x) < 1e300) xs.push_back(x);
  }
  return xs;
}

TEST(ExactSum, ANumberComesBackUnchanged) {
  for (const double x : {0.0, 1.0, -1.0, 0.1, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
                         -1.7976931348623157e308, 4294967296.0, 1e-30}) {
    EXPECT_EQ(sum_of({x}), x);
  }
  for (const double x : wild_numbers(2000, 1)) EXPECT_EQ(sum_of({x}), x);
}

TEST(ExactSum, CancelsExactly) {
  std::vector<double> xs = wild_numbers(500, 2);
  for (std::size_t i = 0; i < 500; ++i) xs.push_back(-xs[i]);
  xs.push_back(3e-310);
  EXPECT_EQ(sum_of(xs), 3e-310);
}

TEST(ExactSum, AnyOrderAndAnySplitGiveTheSameBits) {
  std::vector<double> xs = wild_numbers(1000, 3);
  const double forward = sum_of(xs);
  std::mt19937 random(4);
  for (int i = 0; i < 5; ++i) {
    std::shuffle(xs.begin(), xs.end(), random);
    EXPECT_EQ(sum_of(xs), forward);
    Value left{}, right{};
    for (std::size_t k = 0; k < xs.size(); ++k) add_value(k < 321 ? left : right, xs[k]);
    normalize(right);
    for (std::size_t k = 0; k < left.size(); ++k) left[k] += right[k];
    EXPECT_EQ(to_double(left, kValueOffset), forward);
  }
}

TEST(ExactSum, RoundsOnceToNearestEven) {
  const double ulp = std::ldexp(1.0, -52);
  EXPECT_EQ(sum_of({1.0, ulp / 2}), 1.0);                       // a tie goes to even
  EXPECT_EQ(sum_of({1.0 + ulp, ulp / 2}), 1.0 + 2 * ulp);       // a tie goes to even, upwards
  EXPECT_EQ(sum_of({1.0, ulp / 2, 1e-300}), 1.0 + ulp);         // just above the tie
  EXPECT_EQ(sum_of({1.0, ulp / 2, -1e-300}), 1.0);              // just below
  EXPECT_EQ(sum_of({-1.0, -ulp / 2, -5e-324}), -1.0 - ulp);
  EXPECT_TRUE(std::isinf(sum_of({1.7976931348623157e308, 1.7976931348623157e308})));
}

TEST(ExactSum, ProductsAreExact) {
  for (const double x : wild_numbers(300, 5)) {
    const double y = 1.0 / 3.0;
    Product limbs{};
    add_product(limbs, x, y);
    add_product(limbs, -x, y);
    EXPECT_THAT(limbs, ::testing::Each(0)) << x;
    add_product(limbs, x, y);
    EXPECT_EQ(to_double(limbs, kProductOffset), x * y) << x;  // one product, rounded once, is the product
  }
}

TEST(ExactSum, SmallestAndLargestSquares) {
  for (const double x : {5e-324, 1e-200, 1e150, 1.3e154}) {
    Product limbs{};
    add_product(limbs, x, x);
    EXPECT_EQ(to_double(limbs, kProductOffset), x * x);
  }
}

TEST(ExactSum, VarianceSurvivesALargeMean) {
  // n = 4, mean 1e9, deviations +-1, +-3: n * sum(x^2) - (sum x)^2 = n * 20
  Value sum{};
  Product squares{};
  for (const double d : {-3.0, -1.0, 1.0, 3.0}) {
    add_value(sum, 1e9 + d);
    add_product(squares, 1e9 + d, 1e9 + d);
  }
  EXPECT_EQ(scaled_deviation(4, sum, squares), std::sqrt(80.0));
}

TEST(ExactSum, DeviationsWhoseSquaresOverflowOrVanish) {
  for (const double x : {1e300, 1e-300}) {
    Value sum{};
    Product squares{};
    for (const double v : {x, -x}) {
      add_value(sum, v);
      add_product(squares, v, v);
    }
    EXPECT_DOUBLE_EQ(scaled_deviation(2, sum, squares), 2 * x);  // sqrt(2 * 2 x^2)
  }
}

TEST(ExactSum, CovarianceOfEitherSign) {
  Value x{}, y{};
  Product xy{};
  for (const auto& [a, b] : {std::pair{1.0, -2.0}, {2.0, -5.0}, {4.0, -4.5}}) {
    add_value(x, a);
    add_value(y, b);
    add_product(xy, a, b);
  }
  EXPECT_EQ(scaled_covariance(3, x, y, xy), 3 * (-2.0 - 10.0 - 18.0) - 7.0 * -11.5);
}

TEST(ExactSum, VarianceOfEqualNumbersIsZero) {
  Value sum{};
  Product squares{};
  for (int i = 0; i < 7; ++i) {
    add_value(sum, -0.1);
    add_product(squares, -0.1, -0.1);
  }
  EXPECT_EQ(scaled_deviation(7, sum, squares), 0.0);
}

}  // namespace
}  // namespace klmesh
