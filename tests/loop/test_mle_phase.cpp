#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/mle_phase.hpp"
#include "loop/small_corpus.hpp"

namespace klmesh::loop {
namespace {

class MlePhaseTest : public ::testing::Test {
 protected:
  struct Run {
    std::vector<StepRecord> steps;
    std::vector<float> hidden_bias;  // replicated, so comparable between meshes
  };

  Run run(Mesh& mesh, std::int64_t steps) const {
    HostOps ops(mesh);
    Engine engine = ops.make_engine(corpus_.vocabulary.size());
    Policy policy(ops, config_.model, corpus_.vocabulary.size(), config_.seed, {});
    MlePhase phase(engine, policy, examples_, config_);
    Run result;
    for (std::int64_t i = 0; i < steps; ++i) result.steps.push_back(phase.step());
    const auto bias = policy.parameters()[PolicyTensor::hidden_bias];
    result.hidden_bias.assign(bias.data, bias.data + bias.columns);
    return result;
  }

  Run run_alone(std::int64_t steps) const {
    Mesh self = Mesh::self();
    return run(self, steps);
  }

  void expect_same_on_all_meshes(std::int64_t steps) const {
    const Run expected = run_alone(steps);
    for (const MeshShape shape : mesh_shapes()) {
      Mesh mesh = make_mesh(shape);
      const Run result = run(mesh, steps);
      EXPECT_EQ(difference_of(result.steps, expected.steps), "") << to_string(shape);
      EXPECT_EQ(result.hidden_bias, expected.hidden_bias) << to_string(shape);
    }
  }

  TextDirectory directory_;
  TrainConfig config_ = small_config(directory_);
  Corpus corpus_ = load_corpus(config_.data, config_.seed);
  Examples examples_ = make_examples(corpus_.train, config_.model.context);
};

TEST_F(MlePhaseTest, SameBitsOnEveryMesh) {
  config_.mle.batch_tokens = 512;
  expect_same_on_all_meshes(4);
}

TEST_F(MlePhaseTest, SameBitsWithOddBatches) {
  for (const std::int64_t batch : {1, 100, 129, 300}) {  // fewer tiles than batch parts, short last tiles
    config_.mle.batch_tokens = batch;
    SCOPED_TRACE(batch);
    expect_same_on_all_meshes(2);
  }
}

TEST_F(MlePhaseTest, ABatchIsAtMostTheCorpus) {
  config_.mle.batch_tokens = 1'000'000;
  expect_same_on_all_meshes(2);
  const Run result = run_alone(2);
  EXPECT_EQ(result.steps[0].tokens, examples_.size());
  EXPECT_EQ(result.steps[1].tokens, examples_.size());
}

TEST_F(MlePhaseTest, LossFallsAndIsThatOfTheTokens) {
  config_.mle.steps = 60;
  const Run result = run_alone(60);
  const double uniform = std::log(static_cast<double>(corpus_.vocabulary.size()));
  EXPECT_NEAR(result.steps.front().loss, uniform, 0.3);
  EXPECT_LT(result.steps.back().loss, 0.7 * result.steps.front().loss);
  for (std::size_t i = 0; i < result.steps.size(); ++i) {
    const StepRecord& step = result.steps[i];
    EXPECT_EQ(step.step, static_cast<std::int64_t>(i) + 1);
    EXPECT_EQ(step.tokens, config_.mle.batch_tokens);
    EXPECT_FALSE(step.has_reference());
    EXPECT_EQ(step.loss, -(*step.statistics)[Quantity::logp_policy].mean);
  }
}

// With a rate of almost 0 the losses of an epoch's batches are those of its examples, each seen once.
TEST_F(MlePhaseTest, AnEpochSeesEveryExampleOnce) {
  config_.mle.learning_rate = config_.mle.final_learning_rate = 1e-30;
  const auto epoch_of = [&](std::int64_t batch, std::int64_t steps) {
    config_.mle.batch_tokens = batch;
    double sum = 0;
    for (const StepRecord& step : run_alone(steps).steps) sum += step.loss * static_cast<double>(step.tokens);
    return sum;
  };
  const std::int64_t all = examples_.size();
  std::int64_t steps = 2;
  while (all % steps != 0) ++steps;
  EXPECT_NEAR(epoch_of(all / steps, steps), epoch_of(all, 1), 1e-8 * static_cast<double>(all));
}

}  // namespace
}  // namespace klmesh::loop
