#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "engine/exchange_plan.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/rlhf_phase.hpp"
#include "loop/small_corpus.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {
namespace {

constexpr std::int64_t kVocab = 300;

class RlhfPhaseTest : public ::testing::Test {
 protected:
  RlhfPhaseTest() : config_(small_config(directory_)) {}

  /// A reference whose logits spread, so that tokens differ and sequences end early now and then.
  Policy make_reference(TensorOps& ops) const {
    Policy policy(ops, config_.model, kVocab, config_.seed, {});
    auto head = policy.parameters()[PolicyTensor::head];
    for (std::int64_t i = 0; i < head.rows * head.columns; ++i) head.data[i] *= 20.0f;
    if (policy.shard().contains(Vocabulary::end)) {
      policy.parameters()[PolicyTensor::head_bias].data[Vocabulary::end - policy.shard().begin] = 2.0f;
    }
    return policy;
  }

  /// Words of the upper half are worth more.
  RewardModel make_reward(TensorOps& ops) const {
    RewardModel model(ops, kVocab, config_.reward, config_.adam);
    for (std::int64_t w = 0; w < kVocab; ++w) model.scores()[static_cast<std::size_t>(w)] = w < kVocab / 2 ? -1.0f : 1.0f;
    return model;
  }

  std::vector<StepRecord> run(Mesh& mesh, Penalty penalty, int steps) const {
    HostOps ops(mesh);
    Engine engine = ops.make_engine(kVocab);
    const Policy reference = make_reference(ops);
    const RewardModel reward = make_reward(ops);
    Sampler sampler(ops);
    RlhfPhase phase(engine, reference, reward, penalty, config_,
                    [&](const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
                      sampler.sample(policy, request, batch);
                    });
    std::vector<StepRecord> records;
    for (int i = 0; i < steps; ++i) records.push_back(phase.step());
    return records;
  }
  std::vector<StepRecord> run_alone(Penalty penalty, int steps) const {
    Mesh self = Mesh::self();
    return run(self, penalty, steps);
  }

  void expect_same_on_all_meshes(Penalty penalty, int steps) const {
    const auto expected = run_alone(penalty, steps);
    for (const MeshShape shape : mesh_shapes()) {
      Mesh mesh = make_mesh(shape);
      EXPECT_EQ(difference_of(run(mesh, penalty, steps), expected), "") << to_string(shape) << ' ' << name(penalty);
    }
  }

  TextDirectory directory_;
  TrainConfig config_;
};

TEST_F(RlhfPhaseTest, SameBitsOnEveryMeshForEveryKind) {
  config_.rlhf.sequences = 48;
  config_.rlhf.length = 16;  // 6 units of 8 sequences
  for (const Penalty kind : {Penalty::exact_reward, Penalty::k1_reward, Penalty::exact_loss, Penalty::k2_loss,
                             Penalty::k3_loss, Penalty::none}) {
    expect_same_on_all_meshes(kind, 3);
    EXPECT_GT((*run_alone(kind, 3).back().statistics)[Quantity::kl_reverse].mean, 0) << name(kind);
  }
}

TEST_F(RlhfPhaseTest, SameBitsWithOddSizes) {
  struct Size {
    std::int64_t sequences, length;
  };
  // One sequence; one token; a length that does not divide 128; more batch parts than units; a length above 128.
  for (const Size size : {Size{1, 6}, {1, 1}, {130, 1}, {20, 7}, {200, 3}, {3, 130}}) {
    config_.rlhf.sequences = size.sequences;
    config_.rlhf.length = size.length;
    SCOPED_TRACE(std::to_string(size.sequences) + " sequences of " + std::to_string(size.length));
    expect_same_on_all_meshes(Penalty::exact_reward, 2);
  }
}

// So many rows that an engine that may choose finishes each on one rank alone; the loop reads them all on every rank.
TEST_F(RlhfPhaseTest, SameBitsBeyondTheRowsThatTravelByGather) {
  const MeshShape shape{1, static_cast<int>(std::bit_floor(static_cast<unsigned>(world_size())))};
  if (shape.vocab == 1 || shape.vocab != world_size()) GTEST_SKIP() << "needs several vocabulary parts";
  config_.rlhf.length = 32;
  config_.rlhf.sequences = most_gathered_rows(vocab_shard(kVocab, 0, shape.vocab)) / config_.rlhf.length + 1;
  for (const Penalty kind : {Penalty::exact_reward, Penalty::k3_loss}) {
    Mesh mesh = make_mesh(shape);
    EXPECT_EQ(difference_of(run(mesh, kind, 2), run_alone(kind, 2)), "") << name(kind);
  }
}

TEST_F(RlhfPhaseTest, TheFirstStepHasNoDivergenceAtAll) {
  const StepRecord first = run_alone(Penalty::exact_reward, 1).front();
  const StepStatistics& s = *first.statistics;
  for (const Quantity q : {Quantity::kl_reverse, Quantity::kl_forward, Quantity::k1, Quantity::k2, Quantity::k3}) {
    EXPECT_EQ(s[q].min, 0.0) << name(q);
    EXPECT_EQ(s[q].max, 0.0) << name(q);
  }
  EXPECT_EQ(first.loss, -first.reward_mean);
  EXPECT_EQ(s.tokens + s.masked_tokens, config_.rlhf.sequences * config_.rlhf.length);
  EXPECT_GT(s.masked_tokens, 0);
  EXPECT_EQ(s.sequences, config_.rlhf.sequences);
}

TEST_F(RlhfPhaseTest, LossIsMinusTheObjectiveOfTheKind) {
  const auto per_sequence = [&](const StepRecord& r, Quantity q) {
    return (*r.statistics)[q].sum / static_cast<double>(config_.rlhf.sequences);
  };
  const StepRecord exact = run_alone(Penalty::exact_reward, 3).back();
  EXPECT_DOUBLE_EQ(exact.loss, config_.rlhf.beta * per_sequence(exact, Quantity::kl_reverse) - exact.reward_mean);
  const StepRecord k3 = run_alone(Penalty::k3_loss, 3).back();
  EXPECT_DOUBLE_EQ(k3.loss, config_.rlhf.beta * per_sequence(k3, Quantity::kl_forward) - k3.reward_mean);
  EXPECT_NE(per_sequence(k3, Quantity::kl_forward), per_sequence(k3, Quantity::kl_reverse));
  const StepRecord none = run_alone(Penalty::none, 3).back();
  EXPECT_EQ(none.loss, -none.reward_mean);
}

TEST_F(RlhfPhaseTest, RewardRisesAndAPenaltyHoldsThePolicyBack) {
  config_.rlhf.sequences = 64;
  config_.rlhf.learning_rate = 3e-2;
  config_.rlhf.beta = 1.0;
  const auto free = run_alone(Penalty::none, 40);
  EXPECT_GT(free.back().reward_mean, free.front().reward_mean + free.front().reward_stddev);
  for (const Penalty kind : {Penalty::exact_reward, Penalty::k1_reward, Penalty::exact_loss, Penalty::k2_loss,
                             Penalty::k3_loss}) {
    const auto held = run_alone(kind, 40);
    EXPECT_LT((*held.back().statistics)[Quantity::kl_reverse].mean,
              0.5 * (*free.back().statistics)[Quantity::kl_reverse].mean)
        << name(kind);
  }
}

TEST_F(RlhfPhaseTest, AnAdaptiveBetaHoldsTheKlNearItsTarget) {
  config_.rlhf.learning_rate = 3e-2;
  config_.rlhf.beta = 0.01;
  config_.rlhf.horizon = static_cast<double>(config_.rlhf.sequences);  // a fifth a step
  const double drift = (*run_alone(Penalty::exact_reward, 40).back().statistics)[Quantity::kl_reverse].mean;
  config_.rlhf.controller = "adaptive";
  config_.rlhf.target_kl = drift / 10;
  const auto steps = run_alone(Penalty::exact_reward, 40);
  EXPECT_EQ(steps.front().beta, 0.01);
  EXPECT_EQ(steps.at(1).beta, 0.01 * (1.0 - 0.2));  // the first step's KL is 0
  for (std::size_t i = 1; i < steps.size(); ++i) {
    const double kl = (*steps[i - 1].statistics)[Quantity::kl_reverse].mean;
    if (kl != config_.rlhf.target_kl) {
      EXPECT_EQ(steps[i].beta > steps[i - 1].beta, kl > config_.rlhf.target_kl) << i;
    }
  }
  EXPECT_GT(steps.back().beta, 0.1);
  EXPECT_LT((*steps.back().statistics)[Quantity::kl_reverse].mean, drift / 2);
  // It enters the loss, and so the next steps.
  const StepStatistics& last = *steps.back().statistics;
  EXPECT_DOUBLE_EQ(steps.back().loss, steps.back().beta * last[Quantity::kl_reverse].sum /
                                              static_cast<double>(config_.rlhf.sequences) - steps.back().reward_mean);
}

TEST_F(RlhfPhaseTest, AnAdaptiveBetaFallsWhereThePolicyStaysNear) {
  config_.rlhf.controller = "adaptive";
  config_.rlhf.target_kl = 100;
  config_.rlhf.horizon = static_cast<double>(2 * config_.rlhf.sequences);
  double beta = config_.rlhf.beta;
  for (const StepRecord& step : run_alone(Penalty::k1_reward, 5)) {
    EXPECT_DOUBLE_EQ(step.beta, beta);
    beta *= 0.9;
  }
}

TEST_F(RlhfPhaseTest, SameBetaOnEveryMesh) {
  config_.rlhf.controller = "adaptive";
  config_.rlhf.target_kl = 1e-3;
  config_.rlhf.horizon = 100;
  for (const Penalty kind : {Penalty::exact_reward, Penalty::k3_loss, Penalty::none}) expect_same_on_all_meshes(kind, 5);
}

TEST_F(RlhfPhaseTest, EndsWithTheFirstStepAboveTheLimitAndNotBefore) {
  const auto kl = [](const StepRecord& r) { return (*r.statistics)[Quantity::kl_reverse].mean; };
  const auto free = run_alone(Penalty::none, 6);
  config_.rlhf.stop_kl = kl(free.at(3));  // not above itself
  const auto held = run_alone(Penalty::none, 6);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(held[i].ends_early(), kl(held[i]) > kl(free[3])) << i;
    if (held[i].ends_early()) break;
    EXPECT_EQ(bits_of(held[i]), bits_of(free[i])) << i;
  }
  EXPECT_FALSE(held[3].ends_early());
  EXPECT_TRUE(held[4].ends_early());
  EXPECT_EQ(held[4].stop_limit, config_.rlhf.stop_kl);
  EXPECT_EQ(kl(held[4]), kl(free[4]));
}

// The policy that an early end leaves is the one whose KL was measured.
TEST_F(RlhfPhaseTest, AStepAboveTheLimitDoesNotMoveThePolicy) {
  Mesh mesh = Mesh::self();
  HostOps ops(mesh);
  Engine engine = ops.make_engine(kVocab);
  const Policy reference = make_reference(ops);
  const RewardModel reward = make_reward(ops);
  Sampler sampler(ops);
  config_.rlhf.stop_kl = 1e-9;
  RlhfPhase phase(engine, reference, reward, Penalty::exact_reward, config_,
                  [&](const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
                    sampler.sample(policy, request, batch);
                  });
  const auto words = [&] {
    const auto flat = std::as_const(phase).policy().parameters().flat();
    return std::vector<float>(flat.begin(), flat.end());
  };
  const auto start = words();
  EXPECT_FALSE(phase.step().ends_early());
  const auto moved = words();
  EXPECT_NE(moved, start);
  EXPECT_TRUE(phase.step().ends_early());
  EXPECT_EQ(words(), moved);
}

TEST_F(RlhfPhaseTest, OneSequenceHasNoStandardDeviation) {
  config_.rlhf.sequences = 1;
  EXPECT_TRUE(std::isnan(run_alone(Penalty::none, 1).front().reward_stddev));
}

}  // namespace
}  // namespace klmesh::loop
