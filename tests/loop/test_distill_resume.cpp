// Runs with students that are stopped and resumed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loop/checkpoint_legs.hpp"

namespace klmesh::loop {
namespace {

using ::testing::ElementsAre;

constexpr const char* kFiles[] = {"statistics.h5", "arm-none/statistics.h5", "distill-jensen_shannon/statistics.h5",
                                  "distill-data/statistics.h5"};

class DistillResume : public ::testing::Test {
 protected:
  DistillResume() : config_(small_config(texts_)) {
    config_.model.head_multiple = 32;
    config_.mle.steps = 2;
    config_.reward.steps = 1;
    config_.rlhf.steps = 1;
    config_.student = {.context = 1, .embedding = 4, .hidden = 6, .head_multiple = 128};
    config_.distill.steps = 3;
    config_.distill.arms = {"jensen_shannon", "data"};
    config_.distill.evaluate_every = 2;
    config_.distill.batch_tokens = 300;
    config_.distill.temperature = 2;
    config_.checkpoint.every = 0;
  }

  static constexpr int kBefore = 2 + 1 + 1 + 1;  ///< steps before the first student

  /// Only rank 0 of a leg knows what was recorded; it is rank 0 of the world.
  bool looks() const { return world_rank() == 0; }

  TextDirectory texts_;
  TrainConfig config_;
};

TEST_F(DistillResume, AStudentStoppedAnywhereGoesOnAnywhereElseWithTheSameNumbers) {
  const SharedDirectory whole_run;
  const Outcome whole = run_leg({.mesh = {1, 1}}, config_, whole_run.path());
  EXPECT_EQ(whole.error, "");
  const std::vector<MeshShape> shapes = smaller_meshes();
  for (int step = kBefore; step <= kBefore + 6; ++step) {
    const MeshShape from = shapes[static_cast<std::size_t>(step) % shapes.size()];
    const MeshShape to = shapes[shapes.size() - 1 - static_cast<std::size_t>(step) % shapes.size()];
    const std::string what = "step " + std::to_string(step) + ", " + to_string(from) + " to " + to_string(to);
    const SharedDirectory run;
    EXPECT_EQ(run_leg({.mesh = from, .stop_after = step}, config_, run.path()).error, "") << what;
    const Outcome last = run_leg({.mesh = to, .resume = true}, config_, run.path());
    EXPECT_EQ(last.error, "") << what;
    if (!looks()) continue;
    for (const char* file : kFiles) EXPECT_EQ(steps_of(run / file), steps_of(whole_run / file)) << what << ", " << file;
    EXPECT_EQ(timeless(last.summary), timeless(whole.summary)) << what;
    EXPECT_EQ(count_lines(run / "distill-data/progress.jsonl"), 3) << what;
  }
}

TEST_F(DistillResume, SaysWhereAStudentStopped) {
  const SharedDirectory run;
  const Outcome outcome = run_leg({.mesh = mesh_shapes().back(), .stop_after = kBefore + 5}, config_, run.path());
  EXPECT_EQ(to_string(outcome.summary.stopped.value_or(StopPoint{}).position), "phase 4 (data) step 2");
}

TEST_F(DistillResume, AStudentHasAFileOfItsOwnWithThePhaseThatHasAReference) {
  const SharedDirectory run;
  const Outcome outcome = run_leg({.mesh = mesh_shapes().back()}, config_, run.path());
  EXPECT_EQ(outcome.summary.students.size(), 2u);
  if (!looks()) return;
  constexpr std::uint64_t kNone = ~std::uint64_t{0};
  auto student = steps_of(run / "distill-jensen_shannon/statistics.h5");
  const auto three = std::bit_cast<std::uint64_t>(3.0);
  EXPECT_THAT(student.at("phase"), ElementsAre(three, three, three));
  EXPECT_THAT(student.at("k1_bias"), ElementsAre(kNone, kNone, kNone));  // targets are no samples
  for (const char* column : {"kl_forward_mean", "kl_reverse_mean", "k3_mean", "loss", "logp_reference_mean"}) {
    EXPECT_EQ(std::count(student.at(column).begin(), student.at(column).end(), kNone), 0) << column;
  }
  EXPECT_EQ(student.at("perplexity_heldout")[0], kNone);
  EXPECT_NE(student.at("perplexity_heldout")[1], kNone);
  EXPECT_EQ(steps_of(run / "statistics.h5").at("step").size(), 2u + 1u + 1u);
}

}  // namespace
}  // namespace klmesh::loop
