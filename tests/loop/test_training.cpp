#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/small_corpus.hpp"
#include "loop/training.hpp"

namespace klmesh::loop {
namespace {

/// Notes what it hears.
class Listener final : public TrainingObserver {
 public:
  void corpus_loaded(const CorpusReport&) override { heard.push_back("corpus"); }
  void phase_began(Phase phase, std::string_view arm, std::int64_t count) override {
    heard.push_back(std::to_string(static_cast<int>(phase)) + std::string(arm) + " of " + std::to_string(count));
  }
  void step_done(const StepRecord& step) override { steps.push_back(step); }
  void phase_ended(Phase) override { heard.push_back("end"); }
  void mle_done(const MleReport&) override { heard.push_back("mle"); }
  void reward_done(const RewardReport&) override { heard.push_back("reward"); }
  void arm_done(const ArmReport&) override { heard.push_back("arm"); }

  std::vector<std::string> heard;
  std::vector<StepRecord> steps;
};

TEST(Training, RunsThePhasesInOrderAndSumsThemUp) {
  const TextDirectory directory;
  const TrainConfig config = small_config(directory);
  Mesh mesh = make_mesh({1, world_size()});
  HostOps ops(mesh);
  Listener listener;
  const TrainingSummary summary = run_training(ops, config, {}, listener);
  EXPECT_THAT(listener.heard,
              ::testing::ElementsAre("corpus", "1 of 4", "end", "mle", "2 of 3", "end", "reward", "3exact_reward of 3",
                                     "end", "arm", "3none of 3", "end", "arm"));
  EXPECT_EQ(listener.steps.size(), 4u + 3u + 3u + 3u);
  EXPECT_TRUE(summary.mle.has_value());
  EXPECT_TRUE(summary.reward.has_value());
  EXPECT_EQ(summary.arms.size(), 2u);
  double kl = 0, reward = 0, largest = 0;
  for (std::size_t i = 7; i < 10 && i < listener.steps.size(); ++i) {
    const QuantityStatistics& q = (*listener.steps[i].statistics)[Quantity::kl_reverse];
    kl += q.mean / 3;
    largest = std::max(largest, q.max);
    reward += listener.steps[i].reward_mean / 3;
  }
  const ArmReport& arm = summary.arms.at(0);
  EXPECT_DOUBLE_EQ(arm.final_kl, kl);
  EXPECT_DOUBLE_EQ(arm.final_reward, reward);
  EXPECT_EQ(arm.kl_max, largest);
  EXPECT_EQ(arm.kl_min, 0.0);  // of the first step
  EXPECT_GT(largest, 0.0);
  // Both arms start from the same policy and draw the same tokens.
  StepRecord unpenalised = summary.arms.at(1).first;
  EXPECT_EQ(std::exchange(unpenalised.beta, config.rlhf.beta), 0.0);
  EXPECT_EQ(bits_of(summary.arms.at(0).first), bits_of(unpenalised));
  EXPECT_NE(bits_of(summary.arms.at(0).last), bits_of(summary.arms.at(1).last));
}

TEST(Training, StartsAtTheFirstPhaseAndLeavesOutPhasesWithoutSteps) {
  const TextDirectory directory;
  TrainConfig config = small_config(directory);
  config.loop.first_phase = 2;
  config.rlhf.steps = 0;
  Mesh self = Mesh::self();
  HostOps ops(self);
  Listener listener;
  const TrainingSummary summary = run_training(ops, config, {}, listener);
  EXPECT_THAT(listener.heard, ::testing::ElementsAre("corpus", "2 of 3", "end", "reward"));
  EXPECT_FALSE(summary.mle.has_value());
  EXPECT_TRUE(summary.arms.empty());
}

// Every rank reads the files of its own node.
TEST(Training, RanksThatReadOtherTextsAllThrow) {
  if (world_size() == 1) GTEST_SKIP() << "one rank has nobody to differ from";
  const TextDirectory directory;
  TrainConfig config = small_config(directory);
  Mesh mesh = make_mesh({world_size(), 1});
  HostOps ops(mesh);
  TrainingObserver silent;
  const bool last = mesh.world().rank() == world_size() - 1;
  if (last) directory.write("songs", small_texts('m', 119));
  EXPECT_THAT(message_of<InvalidData>([&] { run_training(ops, config, {}, silent); }),
              ::testing::HasSubstr("ranks disagree about the corpus"));
  if (last) config.data.paths = {"/nonexistent"};
  EXPECT_THAT(message_of<InputNotFound>([&] { run_training(ops, config, {}, silent); }),
              ::testing::HasSubstr("/nonexistent"));
}

}  // namespace
}  // namespace klmesh::loop
