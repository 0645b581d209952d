// What the steps of the phases copy between the host and the back end, and that they allocate nothing. In the host's memory
// a copy is only one by name; the loop is the same on a device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "klmesh/error.hpp"
#include "loop/distill_phase.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/mle_phase.hpp"
#include "loop/rlhf_phase.hpp"
#include "loop/small_corpus.hpp"

namespace klmesh::loop {
namespace {

class StepCopies : public ::testing::Test {
 protected:
  StepCopies() {
    config_.student = {.context = 1, .embedding = 4, .hidden = 6};
    config_.distill.steps = 4;
    config_.distill.batch_tokens = 300;
    config_.distill.temperature = 2;
    config_.distill.data_weight = 0.5;
    for (std::size_t w = 3; w < 20; ++w) reward_.scores()[w] = 1;
  }

  SequenceSource source() {
    return [this](const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
      sampler_.sample(policy, request, batch);
    };
  }

  /// Steps once so that all is allocated, then twice more.
  void expect_copies(const std::function<void()>& step, std::int64_t uploads, std::int64_t downloads) const {
    step();
    for (int time = 0; time < 2; ++time) {
      const MemoryLedger before = ops_.ledger();
      step();
      const MemoryLedger& after = ops_.ledger();
      EXPECT_EQ(after.allocations(), before.allocations());
      for (int r = 0; r < kCopyReasons; ++r) {
        const auto reason = static_cast<CopyReason>(r);
        EXPECT_EQ(after.uploads(reason).calls - before.uploads(reason).calls, reason == CopyReason::batch ? uploads : 0)
            << name(reason);
        EXPECT_EQ(after.downloads(reason).calls - before.downloads(reason).calls,
                  reason == CopyReason::step_report ? downloads : 0)
            << name(reason);
      }
    }
  }

  TextDirectory directory_;
  TrainConfig config_ = small_config(directory_);
  Corpus corpus_ = load_corpus(config_.data, config_.seed);
  std::int64_t vocab_ = corpus_.vocabulary.size();
  Examples examples_ = make_examples(corpus_.train, config_.model.context);
  Mesh mesh_ = make_mesh({1, world_size()});  // every rank has rows
  HostOps ops_{mesh_};
  Engine engine_ = ops_.make_engine(vocab_);
  Policy policy_{ops_, config_.model, vocab_, config_.seed, {}};
  RewardModel reward_{ops_, vocab_, config_.reward, config_.adam};
  Sampler sampler_{ops_};
};

TEST_F(StepCopies, OfMaximumLikelihoodAreTheBatchAndTheGradientsValidity) {
  MlePhase phase(engine_, policy_, examples_, config_);
  expect_copies([&] { phase.step(); }, 2, 1);
}

TEST_F(StepCopies, OfRlhfAreWhatTheHostReports) {
  for (const double stop_kl : {0.0, 100.0}) {
    config_.rlhf.stop_kl = stop_kl;
    RlhfPhase phase(engine_, policy_, reward_, Penalty::exact_reward, config_, source());
    expect_copies([&] { phase.step(); }, 0, 3);
  }
}

TEST_F(StepCopies, OfDistillationAreTheBatchAndTheGradientsValidity) {
  const DistillExamples train(corpus_.train, config_.model, config_.student);
  DistillPhase phase(engine_, policy_, make_student(ops_, config_, vocab_, {}), train, Distillation::jensen_shannon,
                     config_);
  expect_copies([&] { phase.step(); }, 3, 1);
}

// What is found on the way is told at the end, as what it is.
TEST_F(StepCopies, InvalidLogitsEndAStepOfEveryPhaseOnEveryRank) {
  const float bad = std::numeric_limits<float>::quiet_NaN();
  RlhfPhase rlhf(engine_, policy_, reward_, Penalty::exact_reward, config_, source());
  rlhf.step();
  rlhf.policy().parameters()[PolicyTensor::hidden_bias].data[0] = bad;
  EXPECT_THAT(message_of<InvalidData>([&] { rlhf.step(); }),
              ::testing::HasSubstr("sampling step 2: the policy's logits are NaN"));
  MlePhase mle(engine_, policy_, examples_, config_);
  mle.step();
  policy_.parameters()[PolicyTensor::hidden_bias].data[0] = bad;
  EXPECT_THAT(message_of<InvalidData>([&] { mle.step(); }), ::testing::HasSubstr("hold NaN"));
}

// One row in range, the gradient of its bias is not: logits are in order, statistics are, the gradient is not.
TEST_F(StepCopies, AnInvalidGradientEndsAStepOnEveryRank) {
  MlePhase mle(engine_, policy_, examples_, config_);
  const auto head = policy_.parameters()[PolicyTensor::head];
  for (std::int64_t i = 0; i < head.rows * head.columns; ++i) head.data[i] = (i % 2 == 0 ? 1.0f : -1.0f) * 1e7f;
  EXPECT_THAT(message_of<InvalidData>([&] { mle.step(); }), ::testing::HasSubstr("gradient of"));
}

}  // namespace
}  // namespace klmesh::loop
