// The kernel and the algebra against the oracle, on every row that is known to be hard, cut into any parts.
#include <gmock/gmock.h>

#include <cstring>

#include "core/fold.hpp"
#include "core/kernels.hpp"
#include "core/oracle.hpp"
#include "core/rows.hpp"

namespace klmesh::test {
namespace {

// What `parts` vocabulary ranks would compute for one row, merged.
template <typename T>
TokenStats evaluate_row(const std::vector<T>& policy, const std::vector<T>& reference, int parts,
                        std::int64_t target = -1) {
  const auto vocab = static_cast<std::int64_t>(policy.size());
  std::vector<RowPartial> partials;
  for (int part = 0; part < parts; ++part) {
    const VocabShard shard = vocab_shard(vocab, part, parts);
    const std::vector<std::int64_t> targets(target >= 0 ? 1 : 0, target);
    RowPartial partial;
    cpu::row_partials(logits_view(policy.data() + shard.begin, 1, shard.columns()),
                      logits_view(reference.data() + shard.begin, 1, shard.columns()), shard,
                      {.targets = targets, .mask = {}, .sequence = {}}, {&partial, 1}, {});
    partials.push_back(partial);
  }
  return finish(fold(partials), target >= 0);
}

void expect_relative(double actual, long double expected, double bar, const std::string& what) {
  if (std::isinf(expected)) {
    EXPECT_EQ(actual, static_cast<double>(expected)) << what;
    return;
  }
  EXPECT_LE(std::fabs(actual - expected), bar * std::fabs(expected)) << what << ": " << actual << " for "
                                                                     << static_cast<double>(expected);
}

template <typename T>
class RowPartialTest : public ::testing::Test {
 protected:
  // NUMERICS.md section 2. 32-bit logits are summed in fp32 lanes, 64-bit ones in fp64.
  static constexpr bool kFloat = sizeof(T) == 4;
  static constexpr double kKlBar = kFloat ? 2e-6 : 1e-9;

  // Of lse, entropies and log-probabilities, per max(1, |value|).
  static double log_bar(long double kl = 0) { return kFloat ? (kl > 1 ? 1.5e-6 : 5e-7) : 1e-11; }
};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(RowPartialTest, Types);

TYPED_TEST(RowPartialTest, MeetsTheBarsOnHardRows) {
  for (const std::size_t columns : {std::size_t{50257}, std::size_t{4099}}) {
    for (const auto& pair : RowFactory<TypeParam>(columns, 7).adversarial()) {
      const OracleRow want = oracle<TypeParam>(pair.policy, pair.reference);
      for (const int parts : {1, 3, 8}) {
        const TokenStats got = evaluate_row(pair.policy, pair.reference, parts);
        const std::string where = pair.name + ", " + std::to_string(columns) + " columns, parts " + std::to_string(parts);
        expect_relative(got.kl_reverse, want.kl_reverse, this->kKlBar, where + ": kl_reverse");
        expect_relative(got.kl_forward, want.kl_forward, this->kKlBar, where + ": kl_forward");
        const double bar = this->log_bar(std::max(want.kl_reverse, want.kl_forward));
        EXPECT_NEAR(got.entropy_policy, static_cast<double>(want.entropy_policy),
                    bar * std::max(1.0, static_cast<double>(want.entropy_policy))) << where;
        EXPECT_NEAR(got.entropy_reference, static_cast<double>(want.entropy_reference),
                    bar * std::max(1.0, static_cast<double>(want.entropy_reference))) << where;
        EXPECT_EQ(got.cross_entropy_policy_reference, got.entropy_policy + got.kl_reverse) << where;
        EXPECT_GE(got.kl_reverse, 0.0) << where;
        EXPECT_GE(got.kl_forward, 0.0) << where;
      }
    }
  }
}

TYPED_TEST(RowPartialTest, SameBitsForEveryWholeSubtreeSplit) {
  for (const std::size_t columns : {std::size_t{50257}, std::size_t{1000}, std::size_t{17}}) {
    for (const auto& pair : RowFactory<TypeParam>(columns, 11).adversarial()) {
      const TokenStats whole = evaluate_row(pair.policy, pair.reference, 1, 0);
      for (const int parts : {2, 4, 8, 16, 32, 64}) {
        const TokenStats split = evaluate_row(pair.policy, pair.reference, parts, 0);
        EXPECT_EQ(std::memcmp(&whole, &split, sizeof whole), 0)
            << pair.name << ", " << columns << " columns, parts " << parts;
      }
    }
  }
}

TYPED_TEST(RowPartialTest, IdenticalRowsAreExactlyZero) {
  RowFactory<TypeParam> factory(3001, 3);
  for (auto pair : factory.adversarial()) {
    const TokenStats got = evaluate_row(pair.policy, pair.policy, 4, 17);
    EXPECT_EQ(got.kl_reverse, 0.0) << pair.name;
    EXPECT_EQ(got.kl_forward, 0.0) << pair.name;
    if (std::isfinite(pair.policy[17])) {
      EXPECT_EQ(got.k1, 0.0) << pair.name;
      EXPECT_FALSE(std::signbit(got.k1)) << pair.name;
      EXPECT_EQ(got.k3, 0.0) << pair.name;
    }
    EXPECT_EQ(got.entropy_policy, got.entropy_reference) << pair.name;
  }
}

TYPED_TEST(RowPartialTest, EveryRemainderOfTheVocabulary) {
  for (std::size_t columns = 1; columns <= 80; ++columns) {
    auto pair = RowFactory<TypeParam>(columns, static_cast<unsigned>(columns)).noisy(0.5);
    const OracleRow want = oracle<TypeParam>(pair.policy, pair.reference);
    for (const int parts : {1, 5, 64}) {
      const auto target = static_cast<std::int64_t>(columns) - 1;
      const TokenStats got = evaluate_row(pair.policy, pair.reference, parts, target);
      expect_relative(got.kl_reverse, want.kl_reverse, this->kKlBar, "kl_reverse");
      expect_relative(got.kl_forward, want.kl_forward, this->kKlBar, "kl_forward");
      EXPECT_NEAR(got.logp_policy, static_cast<double>(want.log_pi.back()), this->log_bar()) << columns;
    }
  }
}

TYPED_TEST(RowPartialTest, TargetsAndEstimators) {
  auto pair = RowFactory<TypeParam>(2000, 5).noisy(0.2);
  const OracleRow want = oracle<TypeParam>(pair.policy, pair.reference);
  for (const std::int64_t y : {0, 31, 999, 1999}) {
    const TokenStats got = evaluate_row(pair.policy, pair.reference, 4, y);
    const long double log_ratio = want.log_ratio[static_cast<std::size_t>(y)];
    const double bar = TestFixture::kFloat ? 5e-7 : 1e-13;
    const auto log_pi = static_cast<double>(want.log_pi[static_cast<std::size_t>(y)]);
    const auto log_ref = static_cast<double>(want.log_ref[static_cast<std::size_t>(y)]);
    EXPECT_NEAR(got.logp_policy, log_pi, bar * std::max(1.0, std::fabs(log_pi)));
    EXPECT_NEAR(got.logp_reference, log_ref, bar * std::max(1.0, std::fabs(log_ref)));
    EXPECT_NEAR(got.k1, static_cast<double>(-log_ratio), bar);
    EXPECT_NEAR(got.k2, static_cast<double>(log_ratio * log_ratio / 2), bar);
    EXPECT_NEAR(got.k3, static_cast<double>(std::expm1(log_ratio) - log_ratio), bar);
  }
}

TYPED_TEST(RowPartialTest, BrokenRowsAreFlaggedWithTheirColumn) {
  for (const TypeParam bad : {std::numeric_limits<TypeParam>::quiet_NaN(), std::numeric_limits<TypeParam>::infinity()}) {
    for (const std::size_t column : {std::size_t{0}, std::size_t{333}, std::size_t{999}}) {
      auto pair = RowFactory<TypeParam>(1000, 5).noisy(0.2);
      pair.reference[column] = bad;
      const TokenStats got = evaluate_row(pair.policy, pair.reference, 4, 0);
      EXPECT_TRUE(got.invalid_logits());
      EXPECT_EQ(got.flags & kInvalidReference, static_cast<std::uint32_t>(kInvalidReference));
      EXPECT_EQ(got.flags & kInvalidPolicy, 0u);
      EXPECT_EQ(got.invalid_column, static_cast<std::int32_t>(column));
      EXPECT_TRUE(std::isnan(got.kl_reverse));
    }
  }
  const std::vector<TypeParam> nothing(100, -std::numeric_limits<TypeParam>::infinity());
  EXPECT_TRUE(evaluate_row(nothing, std::vector<TypeParam>(100, TypeParam(0)), 2).invalid_logits());
}

TYPED_TEST(RowPartialTest, TargetOfNoMassAndOutOfRange) {
  auto pair = RowFactory<TypeParam>(100, 5).noisy(0.2);
  const TypeParam gone = -std::numeric_limits<TypeParam>::infinity();
  EXPECT_TRUE(evaluate_row(pair.policy, pair.reference, 2, 100).invalid_target());
  pair.reference[40] = gone;
  const TokenStats no_reference = evaluate_row(pair.policy, pair.reference, 2, 40);
  EXPECT_FALSE(no_reference.invalid_target());
  EXPECT_EQ(no_reference.k1, HUGE_VAL);
  EXPECT_EQ(no_reference.k2, HUGE_VAL);
  EXPECT_EQ(no_reference.k3, HUGE_VAL);
  pair.policy[41] = gone;
  EXPECT_TRUE(evaluate_row(pair.policy, pair.reference, 2, 41).invalid_target());
}

// Far below the bar, where differences of sums would have no digits left.
TEST(RowPartialPrecision, AKlOfTenToTheMinus24) {
  const auto pair = RowFactory<double>(4099, 3).noisy(1e-12);
  const OracleRow want = oracle<double>(pair.policy, pair.reference);
  for (const int parts : {1, 8}) {
    const TokenStats got = evaluate_row(pair.policy, pair.reference, parts);
    expect_relative(got.kl_reverse, want.kl_reverse, 1e-6, "kl_reverse");
    expect_relative(got.kl_forward, want.kl_forward, 1e-6, "kl_forward");
  }
}

// Few columns under a large offset: what b - a rounds off does not average out.
TEST(RowPartialPrecision, AnOffsetOfTenThousandInFp64) {
  const auto pair = RowFactory<double>(17, 3).noisy(1e-6, 1.0, 1e4);
  const OracleRow want = oracle<double>(pair.policy, pair.reference);
  const TokenStats got = evaluate_row(pair.policy, pair.reference, 1, 5);
  expect_relative(got.kl_reverse, want.kl_reverse, 1e-9, "kl_reverse");
  expect_relative(got.kl_forward, want.kl_forward, 1e-9, "kl_forward");
  expect_relative(got.k1, -want.log_ratio[5], 1e-9, "k1");
}

TEST(Fold, AFoldInRankOrderIsAnotherTree) {
  // If this could not fail, bit equality above would say nothing about the tree.
  auto pair = RowFactory<float>(50257, 11).noisy(0.3);
  std::vector<RowPartial> slices;
  for (int part = 0; part < 64; ++part) {
    const VocabShard shard = vocab_shard(50257, part, 64);
    slices.emplace_back();
    cpu::row_partials(logits_view(pair.policy.data() + shard.begin, 1, shard.columns()),
                      logits_view(pair.reference.data() + shard.begin, 1, shard.columns()), shard, {}, {&slices.back(), 1}, {});
  }
  RowPartial sequential = slices.front();
  for (std::size_t i = 1; i < slices.size(); ++i) sequential = merge(sequential, slices[i]);
  const RowPartial tree = fold(slices);
  EXPECT_NE(std::memcmp(&sequential, &tree, sizeof tree), 0);
  EXPECT_NEAR(finish(sequential, false).kl_reverse, finish(tree, false).kl_reverse, 1e-13);
}

}  // namespace
}  // namespace klmesh::test
