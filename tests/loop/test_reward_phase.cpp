#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/reward_phase.hpp"
#include "loop/small_corpus.hpp"

namespace klmesh::loop {
namespace {

class RewardPhaseTest : public ::testing::Test {
 protected:
  std::vector<StepRecord> run(Mesh& mesh, RewardModel& model, int steps) const {
    const Preferences preferences(corpus_, config_.reward, config_.seed);
    RewardPhase phase(mesh, model, preferences, config_);
    std::vector<StepRecord> records;
    for (int i = 0; i < steps; ++i) records.push_back(phase.step());
    return records;
  }
  RewardModel make_model() { return {ops_, corpus_.vocabulary.size(), config_.reward, config_.adam}; }

  TextDirectory directory_;
  TrainConfig config_ = small_config(directory_);
  Corpus corpus_ = load_corpus(config_.data, config_.seed);
  Mesh alone_ = Mesh::self();
  HostOps ops_{alone_};
};

TEST_F(RewardPhaseTest, SameBitsOnEveryMesh) {
  for (const std::int64_t pairs : {1, 7, 32}) {  // 1: fewer pairs than ranks
    config_.reward.pairs = pairs;
    Mesh self = Mesh::self();
    RewardModel alone = make_model();
    const auto expected = run(self, alone, 4);
    for (const MeshShape shape : mesh_shapes()) {
      Mesh mesh = make_mesh(shape);
      RewardModel model = make_model();
      EXPECT_EQ(difference_of(run(mesh, model, 4), expected), "") << to_string(shape) << ", pairs " << pairs;
      EXPECT_THAT(model.scores(), ::testing::ElementsAreArray(alone.scores()));
    }
  }
}

TEST_F(RewardPhaseTest, LearnsThePreference) {
  config_.reward.pairs = 16;
  Mesh self = Mesh::self();
  RewardModel model = make_model();
  const auto records = run(self, model, 60);
  EXPECT_NEAR(records.front().loss, std::log(2.0), 1e-12);
  EXPECT_LT(records.back().loss, 0.5 * records.front().loss);
  EXPECT_EQ(records[2].phase, Phase::reward);
  EXPECT_EQ(records[2].step, 3);
  EXPECT_GT(records[2].tokens, 2 * 16 * 5);
  EXPECT_FALSE(records[2].statistics.has_value());
  const Preferences preferences(corpus_, config_.reward, config_.seed);
  EXPECT_GT(model.accuracy(preferences.heldout_pairs()), 0.95);
}

TEST_F(RewardPhaseTest, EveryStepDrawsOtherPairs) {
  Mesh self = Mesh::self();
  RewardModel model = make_model();
  const auto records = run(self, model, 3);
  EXPECT_NE(records[0].tokens, records[1].tokens);
}

}  // namespace
}  // namespace klmesh::loop
