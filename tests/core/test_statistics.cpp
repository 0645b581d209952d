#include "klmesh/statistics.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <random>

#include "klmesh/error.hpp"
#include "klmesh/estimators.hpp"

namespace klmesh {
namespace {

TokenStats token(double kl, double log_ratio) {
  TokenStats t;
  t.flags = kPolicyHasMass | kReferenceHasMass | kHasTarget;
  t.kl_reverse = kl;
  t.kl_forward = 2 * kl;
  t.entropy_policy = 5 + kl;
  t.logp_policy = -3 + log_ratio;
  const Estimators k = estimators(log_ratio);
  t.k1 = k.k1;
  t.k2 = k.k2;
  t.k3 = k.k3;
  return t;
}

std::vector<TokenStats> random_tokens(std::size_t n) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal;
  std::vector<TokenStats> tokens;
  for (std::size_t i = 0; i < n; ++i) tokens.push_back(token(0.01 * std::fabs(normal(random)), 0.1 * normal(random)));
  return tokens;
}

TEST(StepSums, AgreesWithTextbookFormulas) {
  const std::vector<TokenStats> tokens = random_tokens(500);
  StepSums sums(25);
  for (std::size_t i = 0; i < tokens.size(); ++i) sums.add(tokens[i], static_cast<std::int64_t>((i * 7) % 20));
  sums.add_masked();
  const StepStatistics s = sums.statistics();
  EXPECT_EQ(s.tokens, 500);
  EXPECT_EQ(s.masked_tokens, 1);
  EXPECT_EQ(s.sequences, 20);  // five ids have no token

  long double mean = 0, squares = 0, clustered = 0, bias = 0;
  std::vector<long double> per_sequence(20), count(20);
  for (const TokenStats& t : tokens) mean += t.k1 / 500.0L, bias += (t.k1 - t.kl_reverse) / 500.0L;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    squares += (tokens[i].k1 - mean) * (tokens[i].k1 - mean);
    per_sequence[(i * 7) % 20] += tokens[i].k1 - mean;
  }
  for (const long double r : per_sequence) clustered += r * r;
  const QuantityStatistics& k1 = s[Quantity::k1];
  EXPECT_NEAR(k1.mean, static_cast<double>(mean), 1e-16);
  EXPECT_NEAR(k1.standard_deviation, static_cast<double>(std::sqrt(squares / 499)), 1e-14);
  EXPECT_NEAR(k1.standard_error, static_cast<double>(std::sqrt(squares / 499 / 500)), 1e-14);
  EXPECT_NEAR(k1.standard_error_clustered, static_cast<double>(std::sqrt(20.0L / 19 * clustered) / 500), 1e-14);
  EXPECT_NEAR(s[Quantity::k1_bias].mean, static_cast<double>(bias), 1e-16);
  for (std::size_t i = 0; i < tokens.size(); ++i) ++count[(i * 7) % 20];
  long double sequence_mean = 0;
  for (std::size_t g = 0; g < 20; ++g) sequence_mean += (per_sequence[g] / count[g] + mean) / 20;
  EXPECT_NEAR(k1.sequence_mean, static_cast<double>(sequence_mean), 1e-16);
  EXPECT_NEAR(k1.sequence_sum, static_cast<double>(mean * 500 / 20), 1e-15);
  EXPECT_GT(k1.negative, 0);
  EXPECT_LT(k1.min, 0.0);
  EXPECT_EQ(s[Quantity::k3].negative, 0);
}

// Sequences of different lengths: neither is the token-mean.
TEST(StepSums, SequenceMeanWeighsSequencesAlike) {
  StepSums sums(4);  // the ids 1 and 3 have no token
  for (const double kl : {1.0, 2.0, 3.0}) sums.add(token(kl, 0), 0);
  sums.add(token(10.0, 0), 2);
  const QuantityStatistics kl = sums.statistics()[Quantity::kl_reverse];
  EXPECT_EQ(kl.mean, 4.0);
  EXPECT_EQ(kl.sequence_mean, 6.0);
  EXPECT_EQ(kl.sequence_sum, 8.0);
  sums.add(token(HUGE_VAL, 0), 0);
  EXPECT_EQ(sums.statistics()[Quantity::kl_reverse].sequence_mean, HUGE_VAL);
  EXPECT_EQ(sums.statistics()[Quantity::kl_reverse].sequence_sum, HUGE_VAL);
  StepSums without;
  without.add(token(1.0, 0), -1);
  EXPECT_TRUE(std::isnan(without.statistics()[Quantity::kl_reverse].sequence_mean));
  EXPECT_TRUE(std::isnan(without.statistics()[Quantity::kl_reverse].sequence_sum));
}

TEST(StepSums, AnyOrderAndSplitGiveTheSameBits) {
  const std::vector<TokenStats> tokens = random_tokens(300);
  StepSums forward(10), even(10), odd(10);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    forward.add(tokens[i], static_cast<std::int64_t>(i % 10));
    const std::size_t j = tokens.size() - 1 - i;
    (j % 2 ? odd : even).add(tokens[j], static_cast<std::int64_t>(j % 10));
  }
  odd.merge(even);
  const StepStatistics a = forward.statistics(), b = odd.statistics();
  for (int q = 0; q < kCoreQuantities; ++q) {
    const auto quantity = static_cast<Quantity>(q);
    EXPECT_EQ(a[quantity].sum, b[quantity].sum) << name(quantity);
    EXPECT_EQ(a[quantity].standard_deviation, b[quantity].standard_deviation) << name(quantity);
    EXPECT_EQ(a[quantity].standard_error_clustered, b[quantity].standard_error_clustered) << name(quantity);
    EXPECT_EQ(a[quantity].sequence_mean, b[quantity].sequence_mean) << name(quantity);
    EXPECT_EQ(a[quantity].sequence_sum, b[quantity].sequence_sum) << name(quantity);
    EXPECT_EQ(a[quantity].min, b[quantity].min) << name(quantity);
    EXPECT_EQ(a[quantity].max, b[quantity].max) << name(quantity);
  }
}

TEST(StepSums, InfiniteValuesStayVisible) {
  StepSums sums;
  sums.add(token(0.5, 0.1), -1);
  TokenStats infinite = token(0.5, 0.1);
  infinite.kl_reverse = HUGE_VAL;
  sums.add(infinite, -1);
  const StepStatistics s = sums.statistics();
  EXPECT_EQ(s[Quantity::kl_reverse].mean, HUGE_VAL);
  EXPECT_EQ(s[Quantity::kl_reverse].max, HUGE_VAL);
  EXPECT_EQ(s[Quantity::kl_reverse].min, 0.5);
  EXPECT_EQ(s[Quantity::kl_reverse].infinite, 1);
  EXPECT_TRUE(std::isnan(s[Quantity::kl_reverse].standard_deviation));
  EXPECT_EQ(s[Quantity::k1_bias].mean, -HUGE_VAL);
  EXPECT_EQ(s[Quantity::kl_forward].mean, 1.0);
}

TEST(StepSums, InfinityMinusInfinityIsUndefined) {
  StepSums sums;
  TokenStats t = token(HUGE_VAL, 0.1);
  t.k1 = HUGE_VAL;
  sums.add(t, -1);
  sums.add(token(0.5, 0.1), -1);
  EXPECT_TRUE(std::isnan(sums.statistics()[Quantity::k1_bias].mean));
  EXPECT_EQ(sums.statistics()[Quantity::k1].mean, HUGE_VAL);
}

TEST(StepSums, DeltaPIsFiniteWhereTheRatioOverflows) {
  TokenStats t = token(0.5, 0.1);
  t.logp_policy = -800.0;
  t.logp_reference = -1.0;
  t.k1 = -799.0;
  EXPECT_DOUBLE_EQ(value_of(t, Quantity::delta_p), -std::exp(-1.0));
  t.logp_policy = -1.0;
  t.logp_reference = -1.0 - 1e-12;
  t.k1 = 1e-12;
  EXPECT_NEAR(value_of(t, Quantity::delta_p) / (std::exp(-1.0) * 1e-12), 1.0, 1e-9);
}

TEST(StepSums, OneTokenHasNoError) {
  StepSums sums(1);
  sums.add(token(0.5, 0.1), 0);
  const StepStatistics s = sums.statistics();
  EXPECT_EQ(s[Quantity::kl_reverse].mean, 0.5);
  EXPECT_TRUE(std::isnan(s[Quantity::kl_reverse].standard_error));
  EXPECT_TRUE(std::isnan(s[Quantity::kl_reverse].standard_error_clustered));
}

TEST(StepSums, RefusesSequencesItWasNotToldOf) {
  StepSums sums(3);
  EXPECT_THROW(sums.add(token(0, 0), 3), InvalidArgument);
  EXPECT_THROW(sums.merge(StepSums(2)), InvalidArgument);
}

}  // namespace
}  // namespace klmesh
