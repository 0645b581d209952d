// The closed-form gradient against central differences of the long double oracle.
#include <gmock/gmock.h>

#include "core/cpu/decode.hpp"
#include "core/fold.hpp"
#include "core/kernels.hpp"
#include "core/oracle.hpp"
#include "core/rows.hpp"

namespace klmesh::test {
namespace {

struct Weights {
  double kl_reverse, kl_forward, logp, entropy;
  double jensen_shannon = 0;
};

RowScales scales_of(const Weights& w) {
  return {.kl_reverse = {&w.kl_reverse, 1}, .kl_forward = {&w.kl_forward, 1}, .logp_policy = {&w.logp, 1},
          .entropy_policy = {&w.entropy, 1}, .jensen_shannon = {&w.jensen_shannon, 1}};
}

// The analytic gradient in long double, from the oracle's distributions.
template <typename T>
std::vector<long double> oracle_gradient(const std::vector<T>& a, const std::vector<T>& b, std::int64_t target,
                                         Weights w) {
  const OracleRow row = oracle<T>(a, b);
  std::vector<long double> g(a.size());
  for (std::size_t v = 0; v < a.size(); ++v) {
    const long double pi = std::exp(row.log_pi[v]);
    const bool in_policy = !std::isinf(a[v]);
    const bool in_reference = !std::isinf(b[v]);
    if (w.kl_reverse != 0 && in_policy && in_reference) g[v] += w.kl_reverse * pi * (-row.log_ratio[v] - row.kl_reverse);
    const long double difference = in_policy && in_reference && std::fabs(row.log_ratio[v]) < 1
                                       ? -pi * std::expm1(row.log_ratio[v])
                                       : pi - std::exp(row.log_ref[v]);
    g[v] += w.kl_forward * difference;
    g[v] += w.logp * ((static_cast<std::int64_t>(v) == target ? 1 : 0) - pi);
    if (in_policy) g[v] -= w.entropy * pi * (row.log_pi[v] + row.entropy_policy);
    if (in_policy) {
      const long double over_policy = log_mixture_over_policy(in_reference ? row.log_ratio[v] : -HUGE_VALL);
      g[v] -= w.jensen_shannon / 2 * pi * (over_policy + row.kl_policy_mixture);
    }
  }
  return g;
}

template <typename T>
std::vector<float> gradient_of(const std::vector<T>& a, const std::vector<T>& b, std::int64_t target, Weights w,
                               int parts, std::vector<float> start, bool accumulate) {
  const auto vocab = static_cast<std::int64_t>(a.size());
  const std::vector<std::int64_t> targets{target};
  const RowInputs inputs{.targets = targets, .mask = {}, .sequence = {}};
  std::vector<RowPartial> partials(static_cast<std::size_t>(parts));
  for (int part = 0; part < parts; ++part) {
    const VocabShard s = vocab_shard(vocab, part, parts);
    cpu::row_partials(logits_view(a.data() + s.begin, 1, s.columns()), logits_view(b.data() + s.begin, 1, s.columns()),
                      s, inputs, {&partials[static_cast<std::size_t>(part)], 1}, {});
  }
  TokenStats token = finish(fold(partials), true);
  std::vector<SecondStagePartial> second(partials.size());
  for (int part = 0; part < parts; ++part) {
    const VocabShard s = vocab_shard(vocab, part, parts);
    cpu::second_stage(logits_view(a.data() + s.begin, 1, s.columns()), logits_view(b.data() + s.begin, 1, s.columns()),
                      s, inputs, {&token, 1}, {&second[static_cast<std::size_t>(part)], 1});
  }
  token.normalizer.kl_policy_mixture = fold(second).kl_policy_mixture;
  for (int part = 0; part < parts; ++part) {
    const VocabShard s = vocab_shard(vocab, part, parts);
    cpu::gradient(logits_view(a.data() + s.begin, 1, s.columns()), logits_view(b.data() + s.begin, 1, s.columns()), s,
                  inputs, {&token, 1}, scales_of(w),
                  {start.data() + s.begin, DType::f32, 1, s.columns(), s.columns(), accumulate});
  }
  return start;
}

template <typename T>
void expect_gradient(const RowPair<T>& pair, Weights w, int parts) {
  const std::int64_t target = 7;
  const std::vector<long double> want = oracle_gradient(pair.policy, pair.reference, target, w);
  const std::vector<float> got = gradient_of(pair.policy, pair.reference, target, w, parts,
                                             std::vector<float>(want.size(), 99.0f), false);
  long double largest = 0;
  for (const long double g : want) largest = std::max(largest, std::fabs(g));
  long double error = 0;
  for (std::size_t v = 0; v < want.size(); ++v) error = std::max(error, std::fabs(want[v] - got[v]));
  // The floor: where pi is within 1e-16 of 1 or of 1/V, what is left of the true gradient is below the last bit of
  // pi itself, or of KL in pi (l - KL). The gradients of KL = 1e-12 lie eight decades above.
  // Of 32-bit logits, lse is good to 1e-7 of itself: where pi and ref share nothing, that is what Jensen-Shannon's
  // pi (log 2 - KL) / 4 is off by, though its true value is 0.
  const long double floor = sizeof(T) == 4 && w.jensen_shannon != 0 ? 2.5e-8L : 1e-15L;
  EXPECT_LE(error, 2e-6L * largest + floor) << pair.name << ", parts " << parts << ", largest "
                                    << static_cast<double>(largest);
}

template <typename T>
class GradientTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GradientTest, Types);

TYPED_TEST(GradientTest, EachQuantityOnHardRows) {
  for (const auto& pair : RowFactory<TypeParam>(3001, 7).adversarial()) {
    const OracleRow row = oracle<TypeParam>(pair.policy, pair.reference);
    for (const int parts : {1, 3}) {
      if (std::isfinite(row.kl_reverse)) expect_gradient(pair, {1, 0, 0, 0}, parts);
      expect_gradient(pair, {0, 1, 0, 0}, parts);
      if (std::isfinite(pair.policy[7])) expect_gradient(pair, {0, 0, 1, 0}, parts);
      expect_gradient(pair, {0, 0, 0, 1}, parts);
      expect_gradient(pair, {0, 0, 0, 0, 1}, parts);
      if (std::isfinite(row.kl_reverse)) expect_gradient(pair, {0.3, -0.2, 0.5, 0.1, 0.7}, parts);
    }
  }
}

// The formulas themselves, not only their evaluation: central differences of the oracle's values.
TEST(Gradient, MatchesFiniteDifferences) {
  auto pair = RowFactory<double>(33, 3).noisy(0.7, 1.0);
  const std::size_t target = 7;
  const Weights w{0.3, -0.2, 0.5, 0.1, 0.7};
  const auto objective = [&](const std::vector<double>& a) {
    const OracleRow row = oracle<double>(a, pair.reference);
    return w.kl_reverse * row.kl_reverse + w.kl_forward * row.kl_forward + w.logp * row.log_pi[target] +
           w.entropy * row.entropy_policy + w.jensen_shannon * row.jensen_shannon;
  };
  const std::vector<float> got = gradient_of(pair.policy, pair.reference, static_cast<std::int64_t>(target), w, 2,
                                             std::vector<float>(33), false);
  const double h = 1e-5;
  for (std::size_t v = 0; v < 33; ++v) {
    std::vector<double> up = pair.policy, down = pair.policy;
    up[v] += h;
    down[v] -= h;
    const long double slope = (objective(up) - objective(down)) / (2 * h);
    EXPECT_NEAR(got[v], static_cast<double>(slope), 1e-7) << v;
  }
}

// The only divergence here that is finite, and has a gradient, where the reference alone has no mass.
TEST(Gradient, JensenShannonMatchesFiniteDifferencesWhereSupportsDiffer) {
  auto pair = RowFactory<double>(33, 3).noisy(0.7, 1.0);
  pair.reference[4] = pair.reference[20] = pair.policy[11] = -std::numeric_limits<double>::infinity();
  const std::vector<float> got =
      gradient_of(pair.policy, pair.reference, 7, {0, 0, 0, 0, 1}, 3, std::vector<float>(33), false);
  const double h = 1e-5;
  for (std::size_t v = 0; v < 33; ++v) {
    std::vector<double> up = pair.policy, down = pair.policy;
    up[v] += h;
    down[v] -= h;
    const long double slope = oracle<double>(up, pair.reference).jensen_shannon - oracle<double>(down, pair.reference).jensen_shannon;
    EXPECT_NEAR(got[v], v == 11 ? 0.0 : static_cast<double>(slope / (2 * h)), 1e-7) << v;
  }
}

TEST(Gradient, AccumulatesAndWorksInPlace) {
  auto pair = RowFactory<float>(1003, 3).noisy(0.7);
  const Weights w{0.3, -0.2, 0.5, 0.1};
  const std::vector<float> fresh = gradient_of(pair.policy, pair.reference, 7, w, 1, std::vector<float>(1003), false);
  const std::vector<float> added = gradient_of(pair.policy, pair.reference, 7, w, 1, std::vector<float>(1003, 2.0f), true);
  for (std::size_t v = 0; v < 1003; ++v) EXPECT_FLOAT_EQ(added[v], fresh[v] + 2.0f);

  const VocabShard shard = vocab_shard(1003, 0, 1);
  const std::vector<std::int64_t> targets{7};
  const RowInputs inputs{.targets = targets, .mask = {}, .sequence = {}};
  RowPartial partial;
  const LogitsView reference = logits_view(pair.reference.data(), 1, 1003);
  cpu::row_partials(logits_view(pair.policy.data(), 1, 1003), reference, shard, inputs, {&partial, 1}, {});
  const TokenStats token = finish(partial, true);
  cpu::gradient(logits_view(pair.policy.data(), 1, 1003), reference, shard, inputs, {&token, 1},
                scales_of(w),
                {pair.policy.data(), DType::f32, 1, 1003, 1003, false});
  EXPECT_EQ(pair.policy, fresh);
}

// 16-bit logits are the f32 numbers that they stand for, wherever the gradient lies in memory.
TEST(Gradient, SameBitsForEveryTypeAndAlignment) {
  constexpr std::int64_t kColumns = 1003;
  const VocabShard shard = vocab_shard(kColumns, 0, 1);
  for (const Weights& w : {Weights{1, 0, 0, 0}, Weights{0.3, -0.2, 0.5, 0.1}}) {
    for (const DType dtype : {DType::bf16, DType::f16}) {
      const auto pair = RowFactory<float>(kColumns, 3).noisy(0.7);
      std::vector<std::uint16_t> a16(kColumns), b16(kColumns);
      std::vector<float> a(kColumns), b(kColumns), want(kColumns), memory(kColumns + 16);
      cpu::encode(pair.policy.data(), kColumns, dtype, a16.data());
      cpu::encode(pair.reference.data(), kColumns, dtype, b16.data());
      cpu::decode(a16.data(), dtype, kColumns, a.data());
      cpu::decode(b16.data(), dtype, kColumns, b.data());
      const LogitsView policy = logits_view(a.data(), 1, kColumns), reference = logits_view(b.data(), 1, kColumns);
      const std::vector<std::int64_t> targets{7};
      const RowInputs inputs{.targets = targets, .mask = {}, .sequence = {}};
      RowPartial partial;
      cpu::row_partials(policy, reference, shard, inputs, {&partial, 1}, {});
      const TokenStats token = finish(partial, true);
      cpu::gradient(policy, reference, shard, inputs, {&token, 1}, scales_of(w), gradient_view(want.data(), 1, kColumns));
      for (std::int64_t offset = 0; offset < 16; ++offset) {
        cpu::gradient({a16.data(), dtype, 1, kColumns, kColumns}, {b16.data(), dtype, 1, kColumns, kColumns}, shard, inputs,
                      {&token, 1}, scales_of(w), gradient_view(memory.data() + offset, 1, kColumns));
        EXPECT_EQ(std::vector<float>(memory.begin() + offset, memory.begin() + offset + kColumns), want) << offset;
      }
    }
  }
}

TEST(Gradient, MaskedRowsAreZeroWhateverTheyHold) {
  std::vector<float> a(40, std::numeric_limits<float>::quiet_NaN()), out(40, 5.0f);
  const std::vector<std::uint8_t> mask{0};
  const RowInputs inputs{.targets = {}, .mask = mask, .sequence = {}};
  const TokenStats token;
  const double one = 1;
  const VocabShard shard = vocab_shard(40, 0, 1);
  cpu::gradient(logits_view(a.data(), 1, 40), logits_view(a.data(), 1, 40), shard, inputs, {&token, 1},
                {.kl_reverse = {&one, 1}, .kl_forward = {}, .logp_policy = {}, .entropy_policy = {}},
                {out.data(), DType::f32, 1, 40, 40, false});
  EXPECT_THAT(out, ::testing::Each(0.0f));
}

}  // namespace
}  // namespace klmesh::test
