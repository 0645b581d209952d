#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "loop/host/gumbel_max.hpp"
#include "loop/random.hpp"

namespace klmesh::loop {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

GumbelMax brute_force(std::span<const float> logits, const VocabShard& shard, const RandomStream& stream,
                      std::uint64_t token) {
  GumbelMax best{-INFINITY, GumbelMax::none};
  for (std::int64_t c = 0; c < shard.columns(); ++c) {
    const double score = logits[c] + gumbel_noise(stream, token, shard.begin + c);
    if (score > best.score) best = {score, shard.begin + c};
  }
  return best;
}

TEST(GumbelMax, SkippingLogarithmsChangesNothing) {
  for (const std::int64_t vocab : {1, 2, 15, 16, 17, 31, 127, 129, 1000, 5003}) {
    for (int parts : {1, 2, 4}) {
      for (int part = 0; part < parts; ++part) {
        const VocabShard shard = vocab_shard(vocab, part, parts);
        for (const double width : {0.0, 1.0, 30.0}) {
          for (std::uint64_t token = 0; token < 40; ++token) {
            std::vector<float> logits;
            for (std::int64_t c = shard.begin; c < shard.end; ++c) {
              const double u =
                  random_uniform({4, RandomPurpose::head, 1}, static_cast<std::uint64_t>(c) + token * 9999);
              logits.push_back(u < 0.1 ? -kInfinity
                                       : static_cast<float>(width * u - (token % 2 == 0 ? 0 : 5e3)));
            }
            const RandomStream stream{8, RandomPurpose::sampling, 3};
            const GumbelMax fast = gumbel_argmax(logits, shard, stream, token);
            const GumbelMax slow = brute_force(logits, shard, stream, token);
            ASSERT_EQ(fast.column, slow.column) << vocab << " " << part << "/" << parts << " " << width;
            if (slow.column >= 0) {
              ASSERT_EQ(fast.score, slow.score);
            }
          }
        }
      }
    }
  }
}

TEST(GumbelMax, DrawsFromTheSoftmax) {
  const std::vector<float> logits{0.0f, 1.0f, -1.0f, 2.0f, 0.5f, -kInfinity, 1.5f};
  const VocabShard shard = vocab_shard(static_cast<std::int64_t>(logits.size()), 0, 1);
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit));
  constexpr std::uint64_t kDraws = 100000;
  std::vector<double> counts(logits.size());
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    ++counts[static_cast<std::size_t>(
        gumbel_argmax(logits, shard, {1, RandomPurpose::sampling, 0}, i).column)];
  }
  double chi_square = 0;
  for (std::size_t c = 0; c < logits.size(); ++c) {
    const double expected = kDraws * std::exp(static_cast<double>(logits[c])) / total;
    if (expected == 0) {
      EXPECT_EQ(counts[c], 0);
      continue;
    }
    chi_square += (counts[c] - expected) * (counts[c] - expected) / expected;
  }
  EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom: 0.1 %
}

TEST(GumbelMax, InvalidLogitsAreNeverSkipped) {
  const std::int64_t vocab = 1000;
  const VocabShard shard = vocab_shard(vocab, 0, 1);
  for (const float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const std::size_t column : {0u, 15u, 500u, 999u}) {
      std::vector<float> logits(static_cast<std::size_t>(vocab), 0.0f);
      logits[1] = 500.0f;
      logits[column] = bad;
      EXPECT_EQ(gumbel_argmax(logits, shard, {}, 0).column, GumbelMax::invalid);
    }
  }
  EXPECT_EQ(gumbel_argmax(std::vector<float>(1000, -kInfinity), shard, {}, 0).column, GumbelMax::none);
}

}  // namespace
}  // namespace klmesh::loop
