#include "loop/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loop/checkpoint_legs.hpp"
#include "loop/host/host_ops.hpp"

namespace klmesh::loop {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kSteps = 4 + 3 + 3 + 3;  // of a whole run: phases 1 and 2, two arms

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() : config_(small_config(texts_)) {
    config_.mle.evaluate_every = 3;
    config_.checkpoint.every = 0;
  }

  /// Only rank 0 of a leg knows what was recorded; it is rank 0 of the world.
  bool looks() const { return world_rank() == 0; }

  /// An uninterrupted run on one rank.
  void run_whole() {
    whole_ = run_leg({.mesh = {1, 1}}, config_, (whole_run_.path()));
    EXPECT_EQ(whole_.error, "");
  }

  static std::vector<double> column(const SharedDirectory& run, const std::string& name) {
    std::vector<double> values;
    const auto steps = steps_of(run / "statistics.h5");
    for (const std::uint64_t bits : steps.at(name)) values.push_back(std::bit_cast<double>(bits));
    return values;
  }

  void expect_whole(const SharedDirectory& run, const Outcome& last, const std::string& what) const {
    EXPECT_EQ(last.error, "") << what;
    if (!looks()) return;
    EXPECT_FALSE(last.summary.stopped.has_value()) << what;
    for (const char* file : {"statistics.h5", "arm-none/statistics.h5"}) {
      EXPECT_EQ(steps_of(run / file), steps_of(whole_run_ / file)) << what << ", " << file;
    }
    for (const char* file : {"progress.jsonl", "arm-none/progress.jsonl", "tokens.jsonl"}) {
      EXPECT_TRUE(text_of(run / file) == text_of(whole_run_ / file)) << what << ", " << file;
    }
    EXPECT_EQ(timeless(last.summary), timeless(whole_.summary)) << what;
  }

  /// Runs that are stopped after each step, on one mesh, and go on on another.
  void stop_everywhere(int steps) {
    const std::vector<MeshShape> shapes = smaller_meshes();
    for (int step = 1; step <= steps; ++step) {
      const MeshShape from = shapes[static_cast<std::size_t>(step) % shapes.size()];
      const MeshShape to = shapes[shapes.size() - 1 - static_cast<std::size_t>(step + step / 3) % shapes.size()];
      const std::string what = "step " + std::to_string(step) + ", " + to_string(from) + " to " + to_string(to);
      const SharedDirectory run;
      const Outcome first = run_leg({.mesh = from, .stop_after = step}, config_, run.path());
      EXPECT_EQ(first.error, "") << what;
      if (world_rank() < from.ranks()) {
        EXPECT_TRUE(first.summary.stopped.has_value()) << what;
      }
      const Outcome last = run_leg({.mesh = to, .resume = true}, config_, run.path());
      expect_whole(run, last, what);
    }
  }

  TextDirectory texts_;
  TrainConfig config_;
  SharedDirectory whole_run_;
  Outcome whole_;
};

// Phases 1, 2, 3 and the second arm, in their middle and at their ends.
TEST_F(CheckpointTest, ARunStoppedAnywhereGoesOnAnywhereElseWithTheSameNumbers) {
  run_whole();
  if (looks()) {
    EXPECT_EQ(count_lines(whole_run_ / "progress.jsonl"), 10);
    EXPECT_EQ(count_lines(whole_run_ / "arm-none/progress.jsonl"), 3);
    EXPECT_EQ(count_lines(whole_run_ / "tokens.jsonl"), 6);
  }
  stop_everywhere(kSteps);
}

// The first arm's beta falls and then rises, and it ends early; the second is shorter still. Phase 3 alone.
TEST_F(CheckpointTest, ARunWhoseArmsEndEarlyGoesOnWithTheSameNumbersAndBeta) {
  config_.loop.first_phase = 3;
  config_.rlhf.steps = 9;
  config_.rlhf.learning_rate = 4e-2;
  config_.rlhf.controller = "adaptive";
  config_.rlhf.horizon = 60;
  const SharedDirectory unlimited;
  run_leg({.mesh = {1, 1}}, config_, unlimited.path());
  if (looks()) {  // limits from what the run does without one
    const std::vector<double> kl = column(unlimited, "kl_reverse_mean");
    config_.rlhf.target_kl = kl.at(2);
    config_.rlhf.stop_kl = 0.999 * kl.at(5);
  }
  MPI_Bcast(&config_.rlhf.target_kl, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
  MPI_Bcast(&config_.rlhf.stop_kl, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
  run_whole();
  std::array<std::int64_t, 2> steps{};
  if (looks()) {
    steps = {count_lines(whole_run_ / "progress.jsonl"), count_lines(whole_run_ / "arm-none/progress.jsonl")};
    for (const ArmReport& arm : whole_.summary.arms) EXPECT_TRUE(arm.ended_early()) << name(arm.penalty);
    const std::vector<double> beta = column(whole_run_, "beta");
    EXPECT_LT(beta.at(1), beta.at(0));
    EXPECT_GT(beta.back(), beta.at(beta.size() - 2));
  }
  MPI_Bcast(steps.data(), 2, MPI_INT64_T, 0, MPI_COMM_WORLD);
  EXPECT_LT(steps[0], 9);
  EXPECT_LT(steps[1], 9);
  stop_everywhere(static_cast<int>(steps[0] + steps[1]));
}

TEST_F(CheckpointTest, ARunThatIsKilledInItsFirstStepGoesOn) {
  run_whole();
  const SharedDirectory run;
  run_leg({.mesh = smaller_meshes().back(), .crash_after = 1}, config_, run.path());
  const Outcome last = run_leg({.mesh = smaller_meshes().front(), .resume = true}, config_, run.path());
  if (looks()) {
    EXPECT_EQ(last.resumed, "phase 1 step 0");
  }
  expect_whole(run, last, "first step");
}

TEST_F(CheckpointTest, ARunMayBeStoppedManyTimes) {
  run_whole();
  const std::vector<MeshShape> shapes = smaller_meshes();
  const SharedDirectory run;
  Outcome last;
  int legs = 0;
  for (; legs <= kSteps; ++legs) {
    const MeshShape shape = shapes[static_cast<std::size_t>(legs) % shapes.size()];
    last = run_leg({.mesh = shape, .stop_after = 2, .resume = legs > 0}, config_, run.path());
    int going_on = looks() && last.error.empty() && last.summary.stopped ? 1 : 0;
    MPI_Bcast(&going_on, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (going_on == 0) break;
  }
  EXPECT_EQ(legs, kSteps / 2);
  expect_whole(run, last, "stopped every two steps");
}

TEST_F(CheckpointTest, ARunThatCrashedGoesOnFromItsLastGeneration) {
  run_whole();
  config_.checkpoint.every = 2;
  for (const auto& [step, position] : std::map<int, std::string>{{4, "phase 1 step 2"},
                                                                 {5, "phase 1 step 4"},
                                                                 {10, "phase 3 (exact_reward) step 2"},
                                                                 {11, "phase 3 (exact_reward) step 3"},
                                                                 {13, "phase 3 (none) step 2"}}) {
    const SharedDirectory run;
    const Outcome first = run_leg({.mesh = smaller_meshes().back(), .crash_after = step}, config_, run.path());
    EXPECT_EQ(first.error, "crash");
    const Outcome last = run_leg({.mesh = smaller_meshes().front(), .resume = true}, config_, run.path());
    if (looks()) {
      EXPECT_EQ(last.resumed, position);
    }
    expect_whole(run, last, position);
  }
}

// With three vocabulary parts the bits are others than on one rank, and still reproducible.
TEST_F(CheckpointTest, PartsThatAreNoWholeSubtreesReproduceThemselves) {
  if (world_size() != 3) GTEST_SKIP() << "for three ranks";
  const SharedDirectory whole, run;
  run_leg({.mesh = {1, 3}}, config_, whole.path());
  run_leg({.mesh = {1, 3}, .stop_after = 9}, config_, run.path());
  const Outcome last = run_leg({.mesh = {1, 3}, .resume = true}, config_, run.path());
  EXPECT_EQ(last.error, "");
  if (!looks()) return;
  for (const char* file : {"statistics.h5", "arm-none/statistics.h5"}) {
    EXPECT_EQ(steps_of(run / file), steps_of(whole / file)) << file;
  }
}

TEST_F(CheckpointTest, SaysWhereItStoppedAndWhatItWrote) {
  const MeshShape shape = mesh_shapes().back();
  const SharedDirectory run;
  const Outcome outcome = run_leg({.mesh = shape, .stop_after = 12}, config_, run.path());
  const StopPoint stopped = outcome.summary.stopped.value_or(StopPoint{});
  EXPECT_EQ(to_string(stopped.position), "phase 3 (none) step 2");
  EXPECT_EQ(stopped.generation, (run / "gen-4").string());  // after those at the end of two phases and an arm
  EXPECT_EQ(outcome.generations, 1 + 4);  // that of the start
  if (!looks()) return;
  EXPECT_THAT(io::list_generations(run.path()), ElementsAre(4, 3));
  const io::Manifest manifest = io::read_manifest(run / "gen-4");
  EXPECT_EQ(manifest.mesh, to_string(shape));
  EXPECT_EQ(manifest.files.size(), static_cast<std::size_t>(shape.vocab));
  EXPECT_EQ(manifest.config_toml, "seed = 1\n");
  EXPECT_EQ(stored_config(run.path()), "seed = 1\n");
  EXPECT_EQ(steps_of(run / "arm-none/statistics.h5").at("step").size(), 2u);
}

TEST_F(CheckpointTest, WritesEverySoManyStepsAndKeepsAsManyAsAsked) {
  config_.checkpoint = {.every = 2, .keep = 3};
  const SharedDirectory run;
  const Outcome outcome = run_leg({.mesh = mesh_shapes().front()}, config_, run.path());
  EXPECT_EQ(outcome.generations, 1 + 2 + 2 + 2 + 2);
  if (looks()) {
    EXPECT_THAT(io::list_generations(run.path()), ElementsAre(8, 7, 6));
  }
}

TEST_F(CheckpointTest, ARunThatIsDoneSaysTheSameAgain) {
  run_whole();
  const Outcome again = run_leg({.mesh = mesh_shapes().back(), .resume = true}, config_, whole_run_.path());
  EXPECT_EQ(again.error, "");
  EXPECT_EQ(again.generations, 0);
  if (looks()) {
    EXPECT_EQ(timeless(again.summary), timeless(whole_.summary));
  }
}

TEST_F(CheckpointTest, WithoutADirectoryARunStopsAndWritesNothing) {
  Mesh mesh = make_mesh(mesh_shapes().front());
  HostOps ops(mesh);
  TrainingObserver silent;
  TrainingFiles files;
  files.stop_requested = [] { return true; };
  const TrainingSummary summary = run_training(ops, config_, files, silent);
  const StopPoint stopped = summary.stopped.value_or(StopPoint{});
  EXPECT_EQ(to_string(stopped.position), "phase 1 step 1");
  EXPECT_EQ(stopped.generation, "");
}

/// What happens to the newest generation; done by rank 0.
struct Damage {
  const char* name;
  void (*inflict)(const std::filesystem::path& generation);
  const char* text;
};

void flip_bit(const std::filesystem::path& path, double where) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto offset =
      static_cast<std::streamoff>(where * static_cast<double>(std::filesystem::file_size(path)));
  file.seekg(offset);
  const int byte = file.get();
  file.seekp(offset);
  file.put(static_cast<char>(byte ^ 1));
}

void truncate(const std::filesystem::path& path) {
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
}

class DamagedGeneration : public CheckpointTest, public ::testing::WithParamInterface<Damage> {};

TEST_P(DamagedGeneration, IsSaidAndTheOneBeforeIsTaken) {
  run_whole();
  config_.checkpoint.every = 1;
  const SharedDirectory run;
  run_leg({.mesh = mesh_shapes().back(), .stop_after = 9}, config_, run.path());
  if (looks()) GetParam().inflict(run / "gen-9");
  const MeshShape shape = mesh_shapes().front();
  const Outcome stopped = run_leg({.mesh = shape, .stop_after = 1, .resume = true}, config_, run.path());
  EXPECT_EQ(stopped.error, "");
  EXPECT_EQ(stopped.resumed, "phase 3 (exact_reward) step 1");
  EXPECT_THAT(stopped.damage, ElementsAre(AllOf(HasSubstr("gen-9"), HasSubstr(GetParam().text))));
  // It is of no use any more, and does not count as one of two that are kept.
  if (looks()) {
    EXPECT_THAT(io::list_generations(run.path()), ElementsAre(10, 8));
  }
  expect_whole(run, run_leg({.mesh = shape, .resume = true}, config_, run.path()), GetParam().name);
}

INSTANTIATE_TEST_SUITE_P(
    All, DamagedGeneration,
    ::testing::Values(
        Damage{"bit_of_state", [](const auto& g) { flip_bit(g / "state-0.h5", 0.7); }, "state-0.h5: damaged"},
        Damage{"bit_of_header", [](const auto& g) { flip_bit(g / "state-0.h5", 0.0); }, "state-0.h5: damaged"},
        Damage{"short_state", [](const auto& g) { truncate(g / "state-0.h5"); }, "state-0.h5: damaged"},
        Damage{"empty_state", [](const auto& g) { std::filesystem::resize_file(g / "state-0.h5", 0); }, "has 0 bytes"},
        Damage{"no_state", [](const auto& g) { std::filesystem::remove(g / "state-0.h5"); }, "No such file"},
        Damage{"bit_of_manifest", [](const auto& g) { flip_bit(g / "MANIFEST", 0.5); }, "MANIFEST: damaged"},
        Damage{"short_manifest", [](const auto& g) { truncate(g / "MANIFEST"); }, "MANIFEST: damaged"},
        Damage{"no_manifest", [](const auto& g) { std::filesystem::remove(g / "MANIFEST"); }, "No such file"}),
    [](const auto& damage) { return damage.param.name; });

// The last file, that of the last vocabulary part, is not read by every rank: all must go back all the same.
TEST_F(CheckpointTest, DamageThatOneRankSeesIsEverybodys) {
  run_whole();
  const MeshShape shape{1, mesh_shapes().back().vocab};
  const SharedDirectory run;
  run_leg({.mesh = shape, .stop_after = 9}, config_, run.path());
  if (looks()) truncate(run / ("gen-3/state-" + std::to_string(shape.vocab - 1) + ".h5"));
  const Outcome last = run_leg({.mesh = shape, .resume = true}, config_, run.path());
  if (world_rank() < shape.ranks()) {
    EXPECT_EQ(last.resumed, "phase 2 step 3");
    EXPECT_EQ(last.damage.size(), 1u);
  }
  expect_whole(run, last, "last shard");
}

TEST_F(CheckpointTest, WithoutAWholeGenerationNothingGoesOn) {
  const MeshShape shape = mesh_shapes().back();
  const SharedDirectory run;
  Outcome outcome = run_leg({.mesh = shape, .resume = true}, config_, run.path());
  EXPECT_TRUE(outcome.not_found);
  EXPECT_THAT(outcome.error, HasSubstr(run.path() + ": there is no checkpoint generation"));
  if (looks()) {
    EXPECT_THROW(stored_config(run.path()), InputNotFound);
  }

  run_leg({.mesh = shape, .stop_after = 5}, config_, run.path());
  if (looks()) {
    truncate(run / "gen-1/MANIFEST");
    truncate(run / "gen-2/MANIFEST");
    EXPECT_THROW(stored_config(run.path()), InvalidData);
  }
  outcome = run_leg({.mesh = shape, .resume = true}, config_, run.path());
  EXPECT_TRUE(outcome.invalid_data);
  EXPECT_THAT(outcome.error, AllOf(HasSubstr("every checkpoint generation is damaged"), HasSubstr("gen-2/MANIFEST")));
  EXPECT_EQ(outcome.damage.size(), 2u);
}

class OtherRun : public CheckpointTest {
 protected:
  /// What resuming with the changed configuration says.
  std::string refusal(const std::string& config_toml = "seed = 1\n") const {
    const Outcome outcome = run_leg({.mesh = mesh_shapes().back(), .resume = true}, config_, run_.path(), config_toml);
    EXPECT_TRUE(outcome.invalid_data) << outcome.error;
    EXPECT_THAT(outcome.damage, IsEmpty());  // it is whole
    return outcome.error;
  }
  void stop() { run_leg({.mesh = mesh_shapes().front(), .stop_after = 5}, config_, run_.path()); }
  SharedDirectory run_;
};

TEST_F(OtherRun, ASettingThatDiffersIsNamed) {
  stop();
  EXPECT_THAT(refusal("seed = 2\n"), AllOf(HasSubstr("gen-2"), HasSubstr("seed is 1 in the checkpoint and 2 in this run")));
  EXPECT_THAT(refusal("seed = 1\n[mle]\nsteps = 4\n"), HasSubstr("mle.steps is not set in the checkpoint and 4"));
  const Outcome same = run_leg({.mesh = mesh_shapes().back(), .resume = true}, config_, run_.path(),
                               "seed = 1\n[loop]\nreport_every = 7\n[checkpoint]\nevery = 3\n");
  EXPECT_EQ(same.error, "");
}

TEST_F(OtherRun, AShapeThatDiffersIsNamed) {
  stop();
  config_.model.hidden = 11;
  EXPECT_THAT(refusal(), HasSubstr("hidden is 10 in the checkpoint and 11 in this run"));
  config_.model = {.context = 2, .embedding = 7, .hidden = 10};
  EXPECT_THAT(refusal(), HasSubstr("embedding is 6 in the checkpoint and 7 in this run"));
  config_.model = {.context = 3, .embedding = 6, .hidden = 10};
  EXPECT_THAT(refusal(), HasSubstr("context is 2 in the checkpoint and 3 in this run"));
  config_.model.context = 2;
  config_.data.vocab_size = 40;
  EXPECT_THAT(refusal(), HasSubstr("vocab_size is"));
}

TEST_F(OtherRun, OtherTextsAreNoticed) {
  stop();
  texts_.write("songs", small_texts('m', 100) + small_texts('s', 20));
  EXPECT_THAT(refusal(), AnyOf(HasSubstr("the texts of data.paths are others"), HasSubstr("vocab_size is")));
}

TEST_F(OtherRun, APositionThatTheRunLacksIsRefused) {
  stop();
  config_.reward.steps = 0;
  EXPECT_THAT(refusal(), HasSubstr("this run has no phase 2 step 1"));
}

}  // namespace
}  // namespace klmesh::loop
