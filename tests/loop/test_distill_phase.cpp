#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "loop/distill_heldout.hpp"
#include "loop/distill_phase.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/mle_phase.hpp"
#include "loop/small_corpus.hpp"

namespace klmesh::loop {
namespace {

class DistillPhaseTest : public ::testing::Test {
 protected:
  DistillPhaseTest() {
    config_.mle.steps = 12;
    config_.distill.steps = 4;
    config_.distill.batch_tokens = 300;
    config_.distill.learning_rate = 2e-2;
    config_.student = {.context = 1, .embedding = 4, .hidden = 6};
    config_.model.head_multiple = 32;
    config_.student.head_multiple = 128;
  }

  struct Run {
    std::vector<StepRecord> steps;
    std::vector<float> hidden_bias;  // replicated, so comparable between meshes
    DistillHeldout before, after;
    std::int64_t teacher_columns = 0, student_columns = 0;
  };

  Run run(Mesh& mesh, Distillation kind, std::int64_t steps, int first_leg = 0) const {
    const std::int64_t vocab = corpus_.vocabulary.size();
    HostOps ops(mesh);
    Engine engine = ops.make_engine(vocab);
    Policy teacher(ops, config_.model, vocab, config_.seed, {});
    const DistillExamples train(corpus_.train, config_.model, config_.student);
    const DistillExamples heldout(corpus_.heldout, config_.model, config_.student);
    MlePhase mle(engine, teacher, train.teacher, config_);
    for (std::int64_t i = 0; i < config_.mle.steps; ++i) mle.step();
    DistillPhase phase(engine, teacher, make_student(ops, config_, vocab, {}), train, kind, config_);
    Run result;
    result.before = evaluate_student(engine, teacher, phase.student(), heldout);
    for (std::int64_t i = 0; i < steps; ++i) {
      if (i > 0 && i == first_leg) return go_on(engine, teacher, train, kind, phase, steps - i, result);
      result.steps.push_back(phase.step());
    }
    return finish(engine, teacher, heldout, phase, std::move(result));
  }

  Run run_alone(Distillation kind, std::int64_t steps) const {
    Mesh self = Mesh::self();
    return run(self, kind, steps);
  }

  TextDirectory directory_;
  TrainConfig config_ = small_config(directory_);
  Corpus corpus_ = load_corpus(config_.data, config_.seed);

 private:
  Run finish(Engine& engine, const Policy& teacher, const DistillExamples& heldout, DistillPhase& phase,
             Run result) const {
    result.after = evaluate_student(engine, teacher, phase.student(), heldout);
    const auto bias = phase.student().parameters()[PolicyTensor::hidden_bias];
    result.hidden_bias.assign(bias.data, bias.data + bias.columns);
    result.teacher_columns = teacher.head_columns();
    result.student_columns = phase.student().head_columns();
    return result;
  }

  // A second phase takes over where the first one stopped, as after a checkpoint.
  Run go_on(Engine& engine, const Policy& teacher, const DistillExamples& train, Distillation kind,
            DistillPhase& first, std::int64_t steps, Run result) const {
    const DistillExamples heldout(corpus_.heldout, config_.model, config_.student);
    DistillPhase phase(engine, teacher, first.student(), train, kind, config_);
    phase.optimizer() = first.optimizer();
    phase.resume_at(static_cast<std::int64_t>(result.steps.size()));
    for (std::int64_t i = 0; i < steps; ++i) result.steps.push_back(phase.step());
    return finish(engine, teacher, heldout, phase, std::move(result));
  }
};

constexpr Distillation kAllKinds[] = {Distillation::forward, Distillation::reverse, Distillation::jensen_shannon,
                                      Distillation::data};

TEST_F(DistillPhaseTest, SameBitsOnEveryMeshForEveryKind) {
  config_.distill.batch_tokens = 512;
  for (const Distillation kind : kAllKinds) {
    const Run expected = run_alone(kind, 3);
    for (const MeshShape shape : mesh_shapes()) {
      Mesh mesh = make_mesh(shape);
      const Run result = run(mesh, kind, 3);
      EXPECT_EQ(difference_of(result.steps, expected.steps), "") << name(kind) << ' ' << to_string(shape);
      EXPECT_EQ(result.hidden_bias, expected.hidden_bias) << name(kind) << ' ' << to_string(shape);
      EXPECT_EQ(result.after.kl_forward, expected.after.kl_forward) << name(kind) << ' ' << to_string(shape);
      EXPECT_EQ(result.after.jensen_shannon, expected.after.jensen_shannon) << name(kind) << ' ' << to_string(shape);
    }
  }
}

// Garbage in the padding of two heads of different strides, and no padding at all: the same numbers.
TEST_F(DistillPhaseTest, PaddingOfTheHeadsChangesNoBit) {
  config_.distill.temperature = 2;
  config_.distill.data_weight = 0.25;
  for (const Distillation kind : kAllKinds) {
    for (const MeshShape shape : mesh_shapes()) {
      Mesh mesh = make_mesh(shape);
      config_.model.head_multiple = config_.student.head_multiple = 1;
      const Run plain = run(mesh, kind, 2);
      config_.model.head_multiple = 32;
      config_.student.head_multiple = 128;
      const Run padded = run(mesh, kind, 2);
      if (shape.vocab == 1) {
        EXPECT_EQ(plain.student_columns, 216);
        EXPECT_EQ(padded.teacher_columns, 224);
        EXPECT_EQ(padded.student_columns, 256);
      }
      EXPECT_EQ(difference_of(padded.steps, plain.steps), "") << name(kind) << ' ' << to_string(shape);
      EXPECT_EQ(padded.hidden_bias, plain.hidden_bias) << name(kind) << ' ' << to_string(shape);
      EXPECT_EQ(padded.after.kl_reverse, plain.after.kl_reverse) << name(kind) << ' ' << to_string(shape);
    }
  }
}

TEST_F(DistillPhaseTest, GoesOnFromWhereItStopped) {
  config_.distill.steps = 6;
  Mesh mesh = make_mesh(mesh_shapes().back());
  const Run whole = run(mesh, Distillation::jensen_shannon, 6);
  const Run legs = run(mesh, Distillation::jensen_shannon, 6, 2);
  EXPECT_EQ(difference_of(legs.steps, whole.steps), "");
  EXPECT_EQ(legs.hidden_bias, whole.hidden_bias);
}

TEST_F(DistillPhaseTest, StudentsApproachTheTeacherByTheDivergenceTheyDescend) {
  config_.mle.steps = 60;
  config_.distill.steps = 80;
  const Run forward = run_alone(Distillation::forward, 80), reverse = run_alone(Distillation::reverse, 80),
            mixed = run_alone(Distillation::jensen_shannon, 80);
  for (const Run* run : {&forward, &reverse, &mixed}) {
    EXPECT_LT(run->steps.back().loss, 0.7 * run->steps.front().loss);
    EXPECT_LT(run->after.kl_forward, run->before.kl_forward);
    EXPECT_LT(run->after.kl_reverse, run->before.kl_reverse);
    EXPECT_EQ(run->after.teacher_perplexity, run->before.teacher_perplexity);
    EXPECT_LT(run->after.student_perplexity, run->before.student_perplexity);
  }
  const auto last = [](const Run& run, Quantity q) { return (*run.steps.back().statistics)[q].mean; };
  EXPECT_LT(last(forward, Quantity::kl_forward), last(reverse, Quantity::kl_forward));
  EXPECT_LT(last(reverse, Quantity::kl_reverse), last(forward, Quantity::kl_reverse));
  EXPECT_LT(last(forward, Quantity::kl_forward), last(mixed, Quantity::kl_forward));
  EXPECT_LT(last(reverse, Quantity::kl_reverse), last(mixed, Quantity::kl_reverse));
}

TEST_F(DistillPhaseTest, AStepRecordsTheLossThatItDescends) {
  const StepRecord forward = run_alone(Distillation::forward, 1).steps.front();
  EXPECT_EQ(forward.loss, (*forward.statistics)[Quantity::kl_forward].mean);
  EXPECT_EQ(forward.tokens, config_.distill.batch_tokens);
  EXPECT_TRUE(forward.has_reference());
  EXPECT_FALSE(forward.has_samples());
  EXPECT_EQ(recorded_number(forward.phase), 3);
  const StepRecord reverse = run_alone(Distillation::reverse, 1).steps.front();
  EXPECT_EQ(reverse.loss, (*reverse.statistics)[Quantity::kl_reverse].mean);
  const StepRecord js = run_alone(Distillation::jensen_shannon, 1).steps.front();
  EXPECT_EQ(js.loss, (*js.statistics)[Quantity::jensen_shannon].mean);
  const StepRecord data = run_alone(Distillation::data, 1).steps.front();
  EXPECT_EQ(data.loss, -(*data.statistics)[Quantity::logp_policy].mean);
  // All arms begin at the same student, with the same batch.
  EXPECT_EQ((*data.statistics)[Quantity::kl_forward].sum, (*forward.statistics)[Quantity::kl_forward].sum);
}

}  // namespace
}  // namespace klmesh::loop
