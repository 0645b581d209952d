// The expected gradient of every kind against finite differences of the objective that its name promises, by exact
// enumeration of all sequences of a tiny model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "klmesh/error.hpp"
#include "klmesh/estimators.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/penalty.hpp"

namespace klmesh::loop {
namespace {

using Real = long double;
constexpr std::size_t kWords = 3, kEnd = 2, kLength = 3;
constexpr double kBeta = 0.3;
constexpr std::array kKinds{Penalty::exact_reward, Penalty::k1_reward, Penalty::exact_loss,
                            Penalty::k2_loss,      Penalty::k3_loss,   Penalty::none};

/// Free logits for every prefix: 7 prefixes of up to two words that have not ended.
using Prefix = std::vector<std::size_t>;
using Logits = std::map<Prefix, std::array<Real, kWords>>;

Logits make_logits(Real scale, Real phase) {
  Logits logits;
  Real x = phase;
  for (const Prefix& prefix : {Prefix{}, {0}, {1}, {0, 0}, {0, 1}, {1, 0}, {1, 1}}) {
    for (Real& logit : logits[prefix]) logit = scale * std::sin(x += 1.7L);
  }
  return logits;
}

std::array<Real, kWords> log_softmax(const std::array<Real, kWords>& logits) {
  Real sum = 0;
  for (const Real a : logits) sum += std::exp(a);
  std::array<Real, kWords> result{};
  for (std::size_t v = 0; v < kWords; ++v) result[v] = logits[v] - std::log(sum);
  return result;
}

/// KL[left || right] of two rows of log-probabilities.
Real divergence(const std::array<Real, kWords>& left, const std::array<Real, kWords>& right) {
  Real sum = 0;
  for (std::size_t v = 0; v < kWords; ++v) sum += std::exp(left[v]) * (left[v] - right[v]);
  return sum;
}

/// A sequence up to and with its end, if it has one.
std::vector<Prefix> all_sequences() {
  std::vector<Prefix> open{{}}, done;
  for (std::size_t t = 0; t < kLength; ++t) {
    std::vector<Prefix> longer;
    for (const Prefix& prefix : open) {
      for (std::size_t v = 0; v < kWords; ++v) {
        Prefix next = prefix;
        next.push_back(v);
        (v == kEnd || t + 1 == kLength ? done : longer).push_back(next);
      }
    }
    open = longer;
  }
  return done;
}

Prefix before(const Prefix& sequence, std::size_t t) {
  return {sequence.begin(), sequence.begin() + static_cast<std::ptrdiff_t>(t)};
}

Real reward(const Prefix& sequence) {
  Real x = 0.4L;
  for (const std::size_t v : sequence) x = 2.3L * x + static_cast<Real>(v) + 0.6L;
  return 2 * std::sin(x);
}

Real probability(const Prefix& sequence, const Logits& logits) {
  Real log_probability = 0;
  for (std::size_t t = 0; t < sequence.size(); ++t) {
    log_probability += log_softmax(logits.at(before(sequence, t)))[sequence[t]];
  }
  return std::exp(log_probability);
}

/// What objective() says, at `moved`; prefixes held fixed are drawn from `fixed`.
Real objective_value(Penalty kind, const Logits& moved, const Logits& fixed, const Logits& reference) {
  const bool of_sequences = kind == Penalty::exact_reward || kind == Penalty::k1_reward;
  Real sum = 0;
  for (const Prefix& sequence : all_sequences()) {
    Real penalty = 0;
    for (std::size_t t = 0; t < sequence.size() && kind != Penalty::none; ++t) {
      const auto policy_row = log_softmax(moved.at(before(sequence, t)));
      const auto reference_row = log_softmax(reference.at(before(sequence, t)));
      penalty += kind == Penalty::k3_loss ? divergence(reference_row, policy_row) : divergence(policy_row, reference_row);
    }
    const Real p = probability(sequence, moved);
    sum += p * reward(sequence) - Real{kBeta} * (of_sequences ? p : probability(sequence, fixed)) * penalty;
  }
  return sum;
}

/// What the engine would say of the token at position t.
TokenStats token_of(const Prefix& sequence, std::size_t t, const Logits& policy, const Logits& reference) {
  const auto a = log_softmax(policy.at(before(sequence, t)));
  const auto b = log_softmax(reference.at(before(sequence, t)));
  const Estimators e = estimators(static_cast<double>(b[sequence[t]] - a[sequence[t]]));
  TokenStats token;
  token.kl_reverse = static_cast<double>(divergence(a, b));
  token.kl_forward = static_cast<double>(divergence(b, a));
  token.k1 = e.k1;
  token.k2 = e.k2;
  token.k3 = e.k3;
  return token;
}

/// A step's sequences, all on one rank.
struct SequenceBatch {
  std::int64_t sequences = 0, length = 0;
  std::vector<double> rewards, penalties;
  std::vector<std::int64_t> mask;
};

/// What the back end makes of them.
struct Weights {
  std::vector<double> advantages, logp, kl;
};

Weights weights_of(Penalty kind, double beta, SequenceBatch batch, const std::vector<TokenStats>& tokens) {
  Mesh self = Mesh::self();
  HostOps ops(self);
  const std::size_t rows = batch.mask.size();
  Weights w{std::vector<double>(rows), std::vector<double>(rows), std::vector<double>(rows)};
  ops.policy_weights(kind, beta, {batch.sequences, 0, batch.sequences, batch.length},
                     {batch.rewards, batch.penalties, batch.mask}, tokens, w.advantages, w.logp, w.kl);
  return w;
}

std::vector<double> advantages(Penalty kind, double beta, const SequenceBatch& batch) {
  return weights_of(kind, beta, batch, std::vector<TokenStats>(batch.mask.size())).advantages;
}

/// Adds probability * weights' gradient of the loss with respect to the logits of the token's prefix.
void add_gradient(const TokenWeights& w, Real p, const Prefix& sequence, std::size_t t, const TokenStats& token,
                  const Logits& policy, const Logits& reference, Logits& gradient) {
  const auto a = log_softmax(policy.at(before(sequence, t)));
  const auto b = log_softmax(reference.at(before(sequence, t)));
  auto& row = gradient.at(before(sequence, t));
  for (std::size_t v = 0; v < kWords; ++v) {
    const Real pi = std::exp(a[v]);
    row[v] += p * (Real{w.logp_policy} * ((v == sequence[t] ? 1 : 0) - pi) +
                   Real{w.kl_reverse} * pi * (a[v] - b[v] - Real{token.kl_reverse}));
  }
}

/// Adds what a batch of these sequences, of joint probability p, puts into the gradient.
void add_batch(Penalty kind, const std::vector<Prefix>& sequences, Real p, const Logits& policy,
               const Logits& reference, Logits& gradient) {
  const std::size_t rows = sequences.size() * kLength;
  std::vector<double> rewards, penalties(rows);
  std::vector<std::int64_t> mask(rows);
  std::vector<TokenStats> tokens(rows);
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    rewards.push_back(static_cast<double>(reward(sequences[s])));
    for (std::size_t t = 0; t < sequences[s].size(); ++t) {
      const std::size_t row = s * kLength + t;
      mask[row] = 1;
      tokens[row] = token_of(sequences[s], t, policy, reference);
      penalties[row] = penalty_of(kind, tokens[row]);
    }
  }
  const auto count = static_cast<std::int64_t>(sequences.size());
  const Weights weights =
      weights_of(kind, kBeta, {count, static_cast<std::int64_t>(kLength), rewards, penalties, mask}, tokens);
  for (std::size_t row = 0; row < rows; ++row) {
    if (mask[row] == 0) continue;
    add_gradient({weights.logp[row], weights.kl[row]}, p, sequences[row / kLength], row % kLength, tokens[row], policy, reference, gradient);
  }
}

class PenaltyGradient : public ::testing::TestWithParam<Penalty> {
 protected:
  void expect_descent_of_objective(const Logits& expected_gradient) const {
    constexpr Real step = 1e-5L;
    for (const auto& [prefix, row] : expected_gradient) {
      for (std::size_t v = 0; v < kWords; ++v) {
        Logits above = policy_, below = policy_;
        above.at(prefix)[v] += step;
        below.at(prefix)[v] -= step;
        const Real slope = (objective_value(GetParam(), above, policy_, reference_) -
                            objective_value(GetParam(), below, policy_, reference_)) / (2 * step);
        EXPECT_NEAR(static_cast<double>(row[v]), -static_cast<double>(slope), 1e-9) << v;
      }
    }
  }

  const Logits policy_ = make_logits(0.9L, 0.1L);
  const Logits reference_ = make_logits(1.4L, 5.0L);
};

TEST_P(PenaltyGradient, OfOneSequenceIsThatOfTheNamedObjective) {
  Logits gradient = make_logits(0, 0);
  for (const Prefix& sequence : all_sequences()) {
    add_batch(GetParam(), {sequence}, probability(sequence, policy_), policy_, reference_, gradient);
  }
  expect_descent_of_objective(gradient);
}

TEST_P(PenaltyGradient, TheBaselineLeavesItUnbiased) {
  Logits gradient = make_logits(0, 0);
  for (const Prefix& first : all_sequences()) {
    for (const Prefix& second : all_sequences()) {
      const Real p = probability(first, policy_) * probability(second, policy_);
      add_batch(GetParam(), {first, second}, p, policy_, reference_, gradient);
    }
  }
  expect_descent_of_objective(gradient);
}

INSTANTIATE_TEST_SUITE_P(AllKinds, PenaltyGradient, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(name(kind.param)); });

TEST(Penalty, NamesReadBackAndObjectivesTellWhatDiffers) {
  for (const Penalty kind : kKinds) EXPECT_EQ(parse_penalty(name(kind)), kind);
  EXPECT_NE(objective(Penalty::exact_loss), objective(Penalty::exact_reward));
  EXPECT_THAT(std::string(objective(Penalty::k3_loss)), ::testing::HasSubstr("reference||policy"));
  try {
    parse_penalty("k4_loss");
    ADD_FAILURE() << "k4_loss was taken";
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("k4_loss"), ::testing::HasSubstr("exact_reward"),
                                               ::testing::HasSubstr("none")));
  }
}

// Three sequences of three positions; the second ends after two, the third after one.
struct ThreeSequences {
  std::vector<double> rewards{1, 2, 6};
  std::vector<double> penalties{0.1, 0.2, 0.4, 0.8, 1.6, 0, 3.2, 0, 0};
  std::vector<std::int64_t> mask{1, 1, 1, 1, 1, 0, 1, 0, 0};
  SequenceBatch batch() const { return {3, 3, rewards, penalties, mask}; }
};

TEST(Advantages, LeaveOneOutByHand) {
  const ThreeSequences data;
  // Returns with beta 10, own penalty excluded: {1-6, 1-4, 1}, {2-16, 2, -}, {6, -, -}.
  const std::vector<double> exact = advantages(Penalty::exact_reward, 10, data.batch());
  const std::vector<double> expected{-5 - (-14 + 6) / 2.0, -3 - 2,  1, -14 - (-5 + 6) / 2.0, 2 + 3, 0,
                                     6 - (-5 - 14) / 2.0,  0,       0};
  ASSERT_EQ(exact.size(), expected.size());
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(exact[i], expected[i], 1e-12) << i;
  // Own penalty included: {1-7, 1-6, 1-4}, {2-24, 2-16, -}, {6-32, -, -}.
  const std::vector<double> sampled = advantages(Penalty::k1_reward, 10, data.batch());
  const std::vector<double> expected_sampled{-6 - (-22 - 26) / 2.0, -5 + 14, -3, -22 - (-6 - 26) / 2.0, -14 + 5, 0,
                                             -26 - (-6 - 22) / 2.0, 0,       0};
  for (std::size_t i = 0; i < sampled.size(); ++i) EXPECT_NEAR(sampled[i], expected_sampled[i], 1e-12) << i;
}

TEST(Advantages, OneSequenceHasNoBaseline) {
  const std::vector<double> rewards{3}, penalties{0, 0};
  const std::vector<std::int64_t> mask{1, 0};
  EXPECT_THAT(advantages(Penalty::none, 0.5, {1, 2, rewards, penalties, mask}), ::testing::ElementsAre(3.0, 0.0));
}

TEST(Penalty, OnlyTheRewardKindsPenaliseTheReward) {
  TokenStats token;
  token.kl_reverse = 2;
  token.k1 = -3;
  EXPECT_EQ(penalty_of(Penalty::exact_reward, token), 2);
  EXPECT_EQ(penalty_of(Penalty::k1_reward, token), -3);
  for (const Penalty kind : {Penalty::exact_loss, Penalty::k2_loss, Penalty::k3_loss, Penalty::none}) {
    EXPECT_EQ(penalty_of(kind, token), 0) << name(kind);
  }
}

}  // namespace
}  // namespace klmesh::loop
