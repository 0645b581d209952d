#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "loop/coverage.hpp"

namespace klmesh::loop {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// A step of this mean KL whose k1, k2 and k3 have the given bias, with error bars of 1.
StepStatistics step_of(double kl, double k1, double k2, double k3, double error = 1.0) {
  StepStatistics step;
  step.quantities[static_cast<std::size_t>(Quantity::kl_reverse)].mean = kl;
  const auto set = [&](Quantity bias, double value) {
    auto& q = step.quantities[static_cast<std::size_t>(bias)];
    q.mean = value;
    q.standard_error_clustered = error;
    q.standard_error = 1e-9;  // not the one that counts
  };
  set(Quantity::k1_bias, k1);
  set(Quantity::k2_bias, k2);
  set(Quantity::k3_bias, k3);
  return step;
}

TEST(Coverage, PValuesAreBinomialTails) {
  struct Case {
    std::int64_t inside, steps;
    double p;  // P(X <= inside), X ~ Binomial(steps, 0.95), from exact fractions
  };
  for (const Case& c : {Case{0, 1, 0.05}, {18, 20, 0.26416047505615015}, {16, 20, 0.01590152601976356},
                        {130, 150, 6.455803936905091e-05}, {135, 150, 0.008476206601030382}, {150, 150, 1.0},
                        {1900, 2000, 0.5143254915923822}}) {
    const Coverage coverage{c.steps, c.inside};
    EXPECT_NEAR(coverage.p_value() / c.p, 1.0, 1e-9) << c.inside << " of " << c.steps;
    EXPECT_LE(coverage.p_value(), 1.0);
    EXPECT_DOUBLE_EQ(coverage.fraction(), static_cast<double>(c.inside) / static_cast<double>(c.steps));
  }
}

TEST(Coverage, FailsBelowOnePercent) {
  EXPECT_FALSE((Coverage{20, 16}).fails());
  EXPECT_TRUE((Coverage{20, 15}).fails());
  EXPECT_TRUE((Coverage{150, 135}).fails());
  EXPECT_FALSE((Coverage{2000, 1880}).fails());  // below 95 %, but no accident is ruled out: p = 0.025
  EXPECT_FALSE((Coverage{150, 150}).fails());
  EXPECT_FALSE((Coverage{}).fails());
  EXPECT_TRUE(std::isnan(Coverage{}.fraction()));
}

TEST(BiasCoverage, CountsEachEstimatorAgainstTwoClusteredErrors) {
  BiasCoverage coverage;
  coverage.add(step_of(0.01, 2.0, -2.0, 0.0));
  coverage.add(step_of(0.01, 2.0 + 1e-12, -1.0, -2.1));
  EXPECT_EQ(coverage.k1().steps, 2);
  EXPECT_EQ(coverage.k1().inside, 1);
  EXPECT_EQ(coverage.k2().inside, 2);
  EXPECT_EQ(coverage.k3().steps, 2);
  EXPECT_EQ(coverage.k3().inside, 1);
}

TEST(BiasCoverage, OnlyStepsWithKlBetweenAThousandthAndThreeTenths) {
  BiasCoverage coverage;
  for (const double outside : {0.0, std::nextafter(1e-3, 0.0), std::nextafter(0.3, 1.0), 5.0, kNan}) {
    coverage.add(step_of(outside, 0, 0, 0));
  }
  EXPECT_EQ(coverage.k1().steps, 0);
  for (const double inside : {1e-3, 0.05, 0.3}) coverage.add(step_of(inside, 0, 0, 0));
  EXPECT_EQ(coverage.k1().steps, 3);
  EXPECT_EQ(coverage.k2().steps, 3);
}

TEST(BiasCoverage, AStepWithoutErrorBarsSaysNothing) {
  BiasCoverage coverage;
  for (int i = 0; i < 20; ++i) coverage.add(step_of(0.01, 0.1, 0.1, 0.1, kNan));
  EXPECT_EQ(coverage.k1().steps, 0);
  EXPECT_FALSE(coverage.k1().fails());
}

}  // namespace
}  // namespace klmesh::loop
