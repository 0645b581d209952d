// The extended set and the second stage against the oracle, types, scales, row lists.
#include <gmock/gmock.h>

#include <cstring>
#include <optional>

#include "core/cpu/decode.hpp"
#include "core/fold.hpp"
#include "core/kernels.hpp"
#include "core/oracle.hpp"
#include "core/rows.hpp"

namespace klmesh::test {
namespace {

// One row through both stages on `parts` vocabulary ranks.
TokenStats evaluate_all(LogitsView policy, LogitsView reference, std::int64_t vocab, int parts,
                        std::optional<double> renyi_alpha = std::nullopt) {
  std::vector<RowPartial> core(static_cast<std::size_t>(parts));
  std::vector<ExtendedPartial> extended(core.size());
  std::vector<SecondStagePartial> second(core.size());
  const auto shifted = [](LogitsView view, const VocabShard& shard) {
    view.data = static_cast<const char*>(view.data) + shard.begin * static_cast<std::int64_t>(dtype_bytes(view.dtype));
    view.columns = shard.columns();
    return view;
  };
  TokenStats token;
  for (const bool stage_two : {false, true}) {
    for (std::size_t part = 0; part < core.size(); ++part) {
      const VocabShard s = vocab_shard(vocab, static_cast<int>(part), parts);
      if (stage_two) {
        cpu::second_stage(shifted(policy, s), shifted(reference, s), s, {}, {&token, 1}, {&second[part], 1});
      } else {
        cpu::row_partials(shifted(policy, s), shifted(reference, s), s, {}, {&core[part], 1}, {&extended[part], 1},
                          renyi_alpha.value_or(std::nan("")));
      }
    }
    if (!stage_two) {
      token = finish(fold(core), false);
      finish_extended(fold(extended), token);
      if (renyi_alpha) finish_renyi(fold(extended), *renyi_alpha, token);
    }
  }
  const SecondStagePartial merged = fold(second);
  token.jensen_shannon = merged.jensen_shannon;
  token.total_variation = merged.total_variation;
  token.normalizer.kl_policy_mixture = merged.kl_policy_mixture;
  return token;
}

void expect_bar(double actual, long double expected, const std::string& what, long double floor = 3e-10L) {
  if (std::isinf(expected)) {
    EXPECT_EQ(actual, HUGE_VAL) << what;
  } else if (expected > 1e300L) {
    EXPECT_GT(actual, 1e300) << what;
  } else {
    EXPECT_LE(std::fabs(actual - expected), 2e-6L * std::fabs(expected) + floor)
        << what << ": " << actual << " for " << static_cast<double>(expected);
  }
}

template <typename T>
class ExtendedTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ExtendedTest, Types);

TYPED_TEST(ExtendedTest, MeetsTheBarsOnHardRows) {
  for (const auto& pair : RowFactory<TypeParam>(4099, 7).adversarial()) {
    const OracleRow want = oracle<TypeParam>(pair.policy, pair.reference);
    const LogitsView policy = logits_view(pair.policy.data(), 1, 4099), reference = logits_view(pair.reference.data(), 1, 4099);
    const TokenStats got = evaluate_all(policy, reference, 4099, 1);
    expect_bar(got.chi_square, want.chi_square, pair.name + ": chi_square");
    expect_bar(got.chi_square_reference_policy, want.chi_square_reference_policy, pair.name + ": chi_square_reference_policy");
    expect_bar(got.hellinger, want.hellinger, pair.name + ": hellinger");
    expect_bar(got.jensen_shannon, want.jensen_shannon, pair.name + ": jensen_shannon");
    expect_bar(got.total_variation, want.total_variation, pair.name + ": total_variation");
    expect_bar(got.normalizer.kl_policy_mixture, want.kl_policy_mixture, pair.name + ": kl_policy_mixture");
    const auto top = [](const auto& x) { return std::max_element(x.begin(), x.end()) - x.begin(); };
    EXPECT_EQ(got.same_top, top(pair.policy) == top(pair.reference) ? 1.0 : 0.0) << pair.name;
    for (const int parts : {2, 8, 64}) {
      const TokenStats split = evaluate_all(policy, reference, 4099, parts);
      EXPECT_EQ(std::memcmp(&split, &got, sizeof got), 0) << pair.name << ", parts " << parts;
    }
    const TokenStats three = evaluate_all(policy, reference, 4099, 3);
    expect_bar(three.jensen_shannon, want.jensen_shannon, pair.name + ": jensen_shannon in 3 parts");
  }
}

// D_alpha in long double, from the oracle's distributions: near rows by the terms pi (x^s - 1 - s (x - 1)), x = ref / pi,
// s = 1 - alpha, which are all of one sign.
template <typename T>
long double renyi_oracle(const OracleRow& row, const std::vector<T>& a, const std::vector<T>& b, long double alpha) {
  const long double s = 1 - alpha;
  long double top = -HUGE_VALL, small = 0;
  bool near = true;
  for (std::size_t v = 0; v < a.size(); ++v) {
    if (std::isinf(a[v]) && std::isinf(b[v])) continue;
    if (std::isinf(b[v]) && alpha > 1) return HUGE_VALL;
    near = near && std::fabs(row.log_ratio[v]) < 0.3L;
    if (!std::isinf(a[v]) && !std::isinf(b[v])) top = std::max(top, row.log_pi[v] + s * row.log_ratio[v]);
  }
  if (std::isinf(top)) return HUGE_VALL;
  long double sum = 0;
  for (std::size_t v = 0; v < a.size(); ++v) {
    if (std::isinf(a[v]) || std::isinf(b[v])) continue;
    sum += std::exp(row.log_pi[v] + s * row.log_ratio[v] - top);
    small += std::exp(row.log_pi[v]) * (std::expm1(s * row.log_ratio[v]) - s * std::expm1(row.log_ratio[v]));
  }
  return (near ? std::log1p(small) : top + std::log(sum)) / -s;
}

TYPED_TEST(ExtendedTest, RenyiMeetsTheBarOnHardRows) {
  auto rows = RowFactory<TypeParam>(4099, 7).adversarial();
  rows.push_back({"disjoint supports", std::vector<TypeParam>(4099, 1), std::vector<TypeParam>(4099, 1)});
  for (std::size_t v = 0; v < 4099; ++v) {
    (v % 3 ? rows.back().policy : rows.back().reference)[v] = -std::numeric_limits<TypeParam>::infinity();
  }
  for (const auto& pair : rows) {
    const OracleRow row = oracle<TypeParam>(pair.policy, pair.reference);
    const LogitsView policy = logits_view(pair.policy.data(), 1, 4099), reference = logits_view(pair.reference.data(), 1, 4099);
    for (const double alpha : {1e-3, 0.5, 0.999, 1.0 - 1e-6, 1.0 + 1e-6, 1.001, 2.0, 10.0, 1000.0}) {
      const std::string what = pair.name + ": renyi " + std::to_string(alpha);
      const long double want = renyi_oracle(row, pair.policy, pair.reference, alpha);
      const TokenStats got = evaluate_all(policy, reference, 4099, 1, alpha);
      expect_bar(got.renyi, want, what, 3e-7L);
      const TokenStats split = evaluate_all(policy, reference, 4099, 8, alpha);
      EXPECT_EQ(std::memcmp(&split, &got, sizeof got), 0) << what;
      expect_bar(evaluate_all(policy, reference, 4099, 3, alpha).renyi, want, what + " in 3 parts", 3e-7L);
    }
    const TokenStats one = evaluate_all(policy, reference, 4099, 2, 1.0);
    EXPECT_EQ(one.renyi, one.kl_reverse) << pair.name;
  }
}

TEST(Extended, RenyiOfIdenticalRowsIsZero) {
  const auto pair = RowFactory<float>(1003, 7).noisy(0.0);
  for (const double alpha : {0.5, 1.0 + 1e-6, 3.0}) {
    const TokenStats got = evaluate_all(logits_view(pair.policy.data(), 1, 1003), logits_view(pair.policy.data(), 1, 1003), 1003, 2, alpha);
    EXPECT_EQ(got.renyi, 0.0) << alpha;
  }
}

TEST(Extended, TiesOfTheLargestLogitGoToTheLowestColumn) {
  std::vector<float> a(100, 1.0f), b(100, 1.0f);
  const auto same = [&] { return evaluate_all(logits_view(a.data(), 1, 100), logits_view(b.data(), 1, 100), 100, 4).same_top; };
  EXPECT_EQ(same(), 1.0);
  b[99] = 2.0f;
  EXPECT_EQ(same(), 0.0);
  a[40] = a[99] = 2.0f;
  EXPECT_EQ(same(), 0.0);  // a's lowest is 40
  b[40] = 2.0f;
  EXPECT_EQ(same(), 1.0);
}

// Every f16 value, and bf16, through a decode and back.
TEST(Decode, SixteenBitTypesAreExact) {
  for (const DType dtype : {DType::f16, DType::bf16}) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
      const auto x = static_cast<std::uint16_t>(bits);
      float f = 0;
      cpu::decode(&x, dtype, 1, &f);
      std::uint16_t back = 0;
      cpu::encode(&f, 1, dtype, &back);
      if (f == f) {
        EXPECT_EQ(back, x);
      } else {
        EXPECT_GT(back & 0x7fff, dtype == DType::f16 ? 0x7c00 : 0x7f80);
      }
      double d = 0;
      cpu::decode(&x, dtype, 1, &d);
      EXPECT_TRUE(d == static_cast<double>(f) || f != f);
    }
  }
  const auto as_f16 = [](float f) {
    std::uint16_t x = 0;
    cpu::encode(&f, 1, DType::f16, &x);
    return x;
  };
  EXPECT_EQ(as_f16(1.0f), 0x3c00);
  EXPECT_EQ(as_f16(65504.0f), 0x7bff);
  EXPECT_EQ(as_f16(65520.0f), 0x7c00);
  EXPECT_EQ(as_f16(0x1p-24f), 0x0001);
  EXPECT_EQ(as_f16(0x1p-25f), 0x0000);   // a tie goes to even
  EXPECT_EQ(as_f16(0x1.8p-24f), 0x0002);
  EXPECT_EQ(as_f16(1.0f + 0x1p-11f), 0x3c00);
}

// Whatever the types and scales, the result is that of the same numbers in f64 at scale 1, within the bars.
TEST(Kernels, MixedTypesAndScales) {
  RowFactory<float> factory(1003, 9);
  const auto pair = factory.noisy(0.05);
  std::vector<std::uint16_t> half(1003), brain(1003);
  cpu::encode(pair.policy.data(), 1003, DType::f16, half.data());
  cpu::encode(pair.policy.data(), 1003, DType::bf16, brain.data());
  const std::vector<double> wide(pair.reference.begin(), pair.reference.end());
  const std::vector<LogitsView> views{{half.data(), DType::f16, 1, 1003, 1003},
                                      {brain.data(), DType::bf16, 1, 1003, 1003},
                                      logits_view(pair.reference.data(), 1, 1003),
                                      logits_view(wide.data(), 1, 1003)};
  const auto exact = [](const LogitsView& view) {
    std::vector<double> x(1003);
    cpu::decode(view.data, view.dtype, 1003, x.data());
    std::vector<long double> y;
    for (const double v : x) y.push_back(static_cast<long double>(v) * view.scale);
    return y;
  };
  for (LogitsView policy : views) {
    for (LogitsView reference : views) {
      for (const double scale : {1.0, 0.7}) {
        for (const double other : {1.0, 0.7, 2.5}) {
          policy.scale = scale;
          reference.scale = other;
          const OracleRow want = oracle<long double>(exact(policy), exact(reference));
          const TokenStats got = evaluate_all(policy, reference, 1003, 2);
          EXPECT_NEAR(got.kl_reverse, static_cast<double>(want.kl_reverse), 1e-12 + 1e-9 * static_cast<double>(want.kl_reverse));
          EXPECT_NEAR(got.kl_forward, static_cast<double>(want.kl_forward), 1e-12 + 1e-9 * static_cast<double>(want.kl_forward));
          expect_bar(got.chi_square, want.chi_square, "chi_square");
          expect_bar(got.jensen_shannon, want.jensen_shannon, "jensen_shannon");
        }
      }
    }
  }
}

// A small KL under a large offset survives a temperature: the difference is scaled, not the logits.
TEST(Kernels, ScalesKeepASmallKl) {
  for (const double scale : {0.7, 1.3}) {
    auto pair = RowFactory<double>(5003, 3).noisy(1e-6, 3.0, 160.0);
    LogitsView policy = logits_view(pair.policy.data(), 1, 5003), reference = logits_view(pair.reference.data(), 1, 5003);
    policy.scale = reference.scale = scale;
    std::vector<long double> a, b;
    for (const double v : pair.policy) a.push_back(v * static_cast<long double>(scale));
    for (const double v : pair.reference) b.push_back(v * static_cast<long double>(scale));
    const OracleRow want = oracle<long double>(a, b);
    const TokenStats got = evaluate_all(policy, reference, 5003, 4);
    EXPECT_NEAR(got.kl_reverse / static_cast<double>(want.kl_reverse), 1.0, 1e-8);
    EXPECT_NEAR(got.kl_forward / static_cast<double>(want.kl_forward), 1.0, 1e-8);
  }
}

// A scale that would take a finite mask past the range leaves it what it is: no mass.
TEST(Kernels, AScaleThatOverflowsAMask) {
  auto pair = RowFactory<double>(1003, 3).noisy(0.1);
  for (std::size_t v = 0; v < 1003; v += 2) pair.policy[v] = pair.reference[v] = std::numeric_limits<double>::lowest();
  for (std::size_t v = 500; v < 700; ++v) pair.policy[v] = pair.reference[v] = std::numeric_limits<double>::lowest();
  const auto evaluate = [&](double scale) {
    LogitsView policy = logits_view(pair.policy.data(), 1, 1003), reference = logits_view(pair.reference.data(), 1, 1003);
    policy.scale = reference.scale = scale;
    return evaluate_all(policy, reference, 1003, 2);
  };
  const TokenStats got = evaluate(2.0);
  for (auto* side : {&pair.policy, &pair.reference}) {
    for (double& x : *side) x = x < -1e300 ? -std::numeric_limits<double>::infinity() : 2.0 * x;
  }
  const TokenStats want = evaluate(1.0);
  EXPECT_NEAR(got.kl_reverse, want.kl_reverse, 1e-14);
  EXPECT_NEAR(got.kl_forward, want.kl_forward, 1e-14);
  EXPECT_NEAR(got.entropy_policy, want.entropy_policy, 1e-13);
  EXPECT_NEAR(got.total_variation, want.total_variation, 1e-13);
  EXPECT_NEAR(got.chi_square, want.chi_square, 1e-13);
}

TEST(Kernels, FollowsRowListsAndStrides) {
  RowFactory<float> factory(40, 9);
  std::vector<float> memory(5 * 64, std::numeric_limits<float>::quiet_NaN()), dense;
  const std::vector<std::int64_t> rows{3, 1};
  for (const std::int64_t row : rows) {
    const auto x = factory.normal(2.0);
    std::copy(x.begin(), x.end(), memory.begin() + row * 64);
    dense.insert(dense.end(), x.begin(), x.end());
  }
  const VocabShard shard = vocab_shard(40, 0, 1);
  const LogitsView listed{memory.data(), DType::f32, 2, 40, 64, rows};
  const LogitsView plain = logits_view(dense.data(), 2, 40);
  const auto other = factory.normal(2.0);
  std::vector<float> reference(other);
  reference.insert(reference.end(), other.begin(), other.end());
  std::vector<RowPartial> a(2), b(2);
  cpu::row_partials(listed, logits_view(reference.data(), 2, 40), shard, {}, a, {});
  cpu::row_partials(plain, logits_view(reference.data(), 2, 40), shard, {}, b, {});
  EXPECT_EQ(std::memcmp(a.data(), b.data(), sizeof(RowPartial) * 2), 0);
}

TEST(Kernels, GradientsIn16BitsAreTheRoundedOnes) {
  auto pair = RowFactory<float>(1003, 3).noisy(0.7);
  const VocabShard shard = vocab_shard(1003, 0, 1);
  const LogitsView a = logits_view(pair.policy.data(), 1, 1003), b = logits_view(pair.reference.data(), 1, 1003);
  RowPartial partial;
  cpu::row_partials(a, b, shard, {}, {&partial, 1}, {});
  const TokenStats token = finish(partial, false);
  const double one = 1.0;
  const RowScales scales{.kl_reverse = {&one, 1}, .kl_forward = {}, .logp_policy = {}, .entropy_policy = {}};
  std::vector<float> wide(1003);
  cpu::gradient(a, b, shard, {}, {&token, 1}, scales, gradient_view(wide.data(), 1, 1003));
  for (const DType dtype : {DType::f16, DType::bf16}) {
    std::vector<std::uint16_t> narrow(1003), want(1003);
    cpu::encode(wide.data(), 1003, dtype, want.data());
    cpu::gradient(a, b, shard, {}, {&token, 1}, scales, {narrow.data(), dtype, 1, 1003, 1003, false});
    EXPECT_EQ(narrow, want);
  }
}

}  // namespace
}  // namespace klmesh::test
