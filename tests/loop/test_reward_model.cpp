#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/random.hpp"
#include "loop/reward_model.hpp"

namespace klmesh::loop {
namespace {

constexpr std::int64_t kVocab = 40;

/// Texts of different lengths; the preferred ones use the upper half of the words more often.
struct Texts {
  std::vector<std::vector<std::int32_t>> texts;

  explicit Texts(std::int64_t pairs) {
    for (std::uint64_t t = 0; t < 2 * static_cast<std::uint64_t>(pairs); ++t) {
      const RandomStream stream{6, RandomPurpose::mle_batches, static_cast<std::uint32_t>(t)};
      std::vector<std::int32_t> text{0, 2};
      for (std::uint64_t i = 0; i < 5 + t % 9; ++i) {
        const bool upper = random_uniform(stream, 1000 + i) < (t % 2 == 0 ? 0.8 : 0.2);
        text.push_back(static_cast<std::int32_t>((upper ? 22 : 3) + random_below(stream, i, 18)));
      }
      texts.push_back(text);
    }
  }
  std::vector<PreferencePair> pairs() const {
    std::vector<PreferencePair> result;
    for (std::size_t t = 0; t < texts.size(); t += 2) result.push_back({texts[t], texts[t + 1]});
    return result;
  }
};

double mean_loss(const RewardModel& model, std::span<const PreferencePair> pairs) {
  double sum = 0;
  for (const auto& pair : pairs)
    sum += std::log1p(std::exp(model.score(pair.rejected) - model.score(pair.preferred)));
  return sum / static_cast<double>(pairs.size());
}

TEST(RewardModel, GradientIsTheFiniteDifference) {
  const Texts texts(12);
  const auto pairs = texts.pairs();
  auto self = make_self_communicator();
  Mesh alone = Mesh::self();
  HostOps ops(alone);
  RewardConfig reward;
  reward.min_words = 1;
  reward.weight_decay = 0;
  RewardModel model(ops, kVocab, reward, {0.9, 0.99, 1e-8});
  for (std::int64_t w = 0; w < kVocab; ++w) model.scores()[w] = std::sin(static_cast<float>(w));
  RewardModel moved = model;
  EXPECT_NEAR(moved.step(pairs, 12, *self), mean_loss(model, pairs), 1e-12);
  for (std::int64_t w = 0; w < kVocab; ++w) {
    RewardModel above = model, below = model;
    above.scores()[w] += 0.0078125f;
    below.scores()[w] -= 0.0078125f;
    const double slope = (mean_loss(above, pairs) - mean_loss(below, pairs)) / 0.015625;
    // The first moment of the first step is (1 - beta1) times the gradient.
    EXPECT_NEAR(moved.optimizer().first_moment()[w] / 0.1, slope, 1e-6) << w;
    if (w < 3) {
      EXPECT_EQ(slope, 0.0);
    }
  }
}

TEST(RewardModel, AnySplitOfThePairsGivesTheSameBits) {
  const Texts texts(64);
  const auto pairs = texts.pairs();
  auto self = make_self_communicator();
  Mesh alone = Mesh::self();
  HostOps ops(alone);
  Mesh mesh = make_mesh({world_size(), 1});
  RewardModel whole(ops, kVocab, {}, {}), split(ops, kVocab, {}, {});
  const int rank = mesh.world().rank(), ranks = world_size();
  const std::size_t begin = 64u * rank * rank / (ranks * ranks),
                    end = 64u * (rank + 1) * (rank + 1) / (ranks * ranks);
  for (int step = 0; step < 30; ++step) {
    const double expected = whole.step(pairs, 64, *self);
    EXPECT_EQ(split.step(std::span(pairs).subspan(begin, end - begin), 64, mesh.world()), expected);
  }
  EXPECT_THAT(split.scores(), testing::ElementsAreArray(whole.scores()));
}

TEST(RewardModel, LearnsToTellTheTextsApart) {
  const Texts texts(200);
  const auto pairs = texts.pairs();
  auto self = make_self_communicator();
  Mesh alone = Mesh::self();
  HostOps ops(alone);
  RewardModel model(ops, kVocab, {}, {});
  EXPECT_EQ(model.accuracy(pairs), 0.5);
  const auto training = std::span(pairs).first(100);
  const double before = model.step(training, 100, *self);
  EXPECT_NEAR(before, std::log(2.0), 1e-12);
  for (int step = 0; step < 200; ++step) model.step(training, 100, *self);
  EXPECT_LT(mean_loss(model, training), 0.3);
  EXPECT_GT(model.accuracy(std::span(pairs).last(100)), 0.9);
}

TEST(RewardModel, LengthAndSpecialTokensDoNotCount) {
  Mesh alone = Mesh::self();
  HostOps ops(alone);
  RewardConfig reward;
  reward.min_words = 1;
  RewardModel model(ops, kVocab, reward, {});
  for (std::int64_t w = 0; w < kVocab; ++w) model.scores()[w] = static_cast<float>(w);
  const std::vector<std::int32_t> once{10, 20}, twice{10, 20, 10, 20, 2, 1, 0}, none{2};
  EXPECT_EQ(model.score(once), 15.0);
  EXPECT_EQ(model.score(twice), 15.0);
  EXPECT_EQ(model.score(none), 0.0);
  EXPECT_THROW(model.score(std::vector<std::int32_t>{static_cast<std::int32_t>(kVocab)}), InvalidData);
  EXPECT_TRUE(std::isnan(model.accuracy({})));
}

TEST(RewardModel, ShortTextsAreAveragedOverTheLeastNumberOfWords) {
  Mesh alone = Mesh::self();
  HostOps ops(alone);
  RewardConfig reward;
  reward.min_words = 4;
  RewardModel model(ops, kVocab, reward, {});
  for (std::int64_t w = 0; w < kVocab; ++w) model.scores()[w] = static_cast<float>(w);
  EXPECT_EQ(model.score(std::vector<std::int32_t>{10, 20}), 7.5);
  EXPECT_EQ(model.score(std::vector<std::int32_t>{10, 20, 10, 20, 10}), 14.0);
}

TEST(RewardModel, AWrongWordOnOneRankThrowsOnAllRanks) {
  Mesh alone = Mesh::self();
  HostOps ops(alone);
  Mesh mesh = make_mesh({world_size(), 1});
  RewardModel model(ops, kVocab, {}, {});
  const std::vector<std::int32_t> good{5}, bad{-4};
  const PreferencePair pair{good, mesh.world().rank() == 0 ? bad : good};
  EXPECT_THROW(model.step(std::span(&pair, 1), world_size(), mesh.world()), InvalidData);
}

}  // namespace
}  // namespace klmesh::loop
