#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "klmesh/standard_columns.hpp"
#include "klmesh/error.hpp"
#include "loop/run_record.hpp"
#include "loop/text_directory.hpp"

namespace klmesh::loop {
namespace {

/// The values of one dataset; none if it is not there.
std::vector<double> dataset(const std::string& file, const std::string& name) {
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (id < 0) return {};
  std::vector<double> values;
  if (H5Lexists(id, name.c_str(), H5P_DEFAULT) > 0) {
    const hid_t data = H5Dopen2(id, name.c_str(), H5P_DEFAULT);
    const hid_t space = H5Dget_space(data);
    values.resize(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
    EXPECT_GE(H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    H5Sclose(space);
    H5Dclose(data);
  }
  H5Fclose(id);
  return values;
}

std::vector<nlohmann::json> lines(const std::string& file) {
  std::ifstream in(file);
  std::vector<nlohmann::json> result;
  for (std::string line; std::getline(in, line);) result.push_back(nlohmann::json::parse(line));
  return result;
}

/// Statistics in which every number is another one.
StepStatistics distinct_statistics() {
  StepStatistics s;
  double next = 1;
  for (QuantityStatistics& q : s.quantities) {
    for (double* value : {&q.mean, &q.min, &q.max, &q.standard_deviation, &q.standard_error,
                          &q.standard_error_clustered}) {
      *value = next++;
    }
  }
  return s;
}

StepRecord record_of(Phase phase, std::int64_t step) {
  StepRecord record;
  record.phase = phase;
  record.step = step;
  record.loss = 2.5;
  record.tokens = 100 * step;
  record.seconds = 0.125;
  if (phase != Phase::reward) record.statistics = distinct_statistics();
  if (phase == Phase::rlhf) record.reward_mean = -0.5;
  return record;
}

class RunRecordTest : public ::testing::Test {
 protected:
  RunRecord make() const {
    return {directory_.path(), {.config_toml = "", .mesh = "1x1", .created_utc = "", .library_version = "0"}};
  }
  std::vector<double> column(const std::string& name, const std::string& under = "") const {
    return dataset(directory_.path(under + "statistics.h5"), "/steps/" + name);
  }
  TextDirectory directory_;
};

TEST_F(RunRecordTest, EveryColumnIsThereAndDivergencesOnlyWithAReference) {
  RunRecord run = make();
  for (const Phase phase : {Phase::mle, Phase::reward, Phase::rlhf}) run.add(record_of(phase, 1));
  run.commit();
  EXPECT_THAT(column("phase"), ::testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(column("step"), ::testing::ElementsAre(1, 1, 1));
  for (const io::Column& c : io::standard_columns()) {
    const std::vector<double> values = column(c.name);
    ASSERT_EQ(values.size(), 3u) << c.name;
    const bool of_policy = c.name.starts_with("entropy_policy") || c.name.starts_with("logp_policy");
    const bool of_step = c.name == "loss" || c.name == "tokens";
    EXPECT_EQ(std::isnan(values[0]), !of_policy && !of_step) << c.name;
    EXPECT_EQ(std::isnan(values[1]), !of_step) << c.name;
    EXPECT_EQ(std::isnan(values[2]), c.name == "perplexity_heldout" || c.name == "reward_stddev") << c.name;
  }
  EXPECT_THAT(dataset(directory_.path("statistics.h5"), "/timing/step_seconds"), ::testing::Each(0.125));
}

TEST_F(RunRecordTest, BetaAndAnEarlyEndAreColumnsToo) {
  RunRecord run = make();
  run.add(record_of(Phase::mle, 1));
  StepRecord step = record_of(Phase::rlhf, 1);
  step.beta = 0.5;
  run.add(step);
  step.step = 2;
  step.beta = 0.375;
  step.stop_limit = 0.1;
  run.add(step);
  run.commit();
  EXPECT_THAT(column("beta"), ::testing::ElementsAre(::testing::IsNan(), 0.5, 0.375));
  EXPECT_THAT(column("stopped_early"), ::testing::ElementsAre(::testing::IsNan(), 0.0, 1.0));
  const auto progress = lines(directory_.path("progress.jsonl"));
  EXPECT_EQ(progress.at(2).at("beta"), 0.375);
  EXPECT_EQ(progress.at(1).at("stopped_early"), 0);
  EXPECT_EQ(progress.at(2).at("stopped_early"), 1);
}

TEST_F(RunRecordTest, EveryStatisticGoesToItsColumn) {
  RunRecord run = make();
  run.add(record_of(Phase::rlhf, 7));
  run.commit();
  const StepStatistics s = distinct_statistics();
  for (const Quantity quantity : {Quantity::kl_reverse, Quantity::kl_forward, Quantity::entropy_policy,
                                  Quantity::entropy_reference, Quantity::logp_policy, Quantity::logp_reference,
                                  Quantity::k1, Quantity::k2, Quantity::k3}) {
    const std::string prefix(name(quantity));
    const QuantityStatistics& q = s[quantity];
    EXPECT_THAT(column(prefix + "_mean"), ::testing::ElementsAre(q.mean));
    EXPECT_THAT(column(prefix + "_min"), ::testing::ElementsAre(q.min));
    EXPECT_THAT(column(prefix + "_max"), ::testing::ElementsAre(q.max));
    EXPECT_THAT(column(prefix + "_stddev"), ::testing::ElementsAre(q.standard_deviation));
    EXPECT_THAT(column(prefix + "_stderr"), ::testing::ElementsAre(q.standard_error));
    EXPECT_THAT(column(prefix + "_stderr_clustered"), ::testing::ElementsAre(q.standard_error_clustered));
  }
  EXPECT_THAT(column("k2_bias"), ::testing::ElementsAre(s[Quantity::k2_bias].mean));
  EXPECT_THAT(column("k3_bias_stderr"), ::testing::ElementsAre(s[Quantity::k3_bias].standard_error));
  EXPECT_THAT(column("k1_bias_stderr_clustered"), ::testing::ElementsAre(s[Quantity::k1_bias].standard_error_clustered));
  EXPECT_THAT(column("tokens"), ::testing::ElementsAre(700));
  EXPECT_THAT(column("reward_mean"), ::testing::ElementsAre(-0.5));
}

TEST_F(RunRecordTest, FurtherArmsHaveFilesOfTheirOwn) {
  RunRecord run = make();
  run.add(record_of(Phase::mle, 1));
  run.add(record_of(Phase::rlhf, 1));
  run.begin_directory(RunRecord::arm_directory("none"));
  run.add(record_of(Phase::rlhf, 1));
  run.add(record_of(Phase::rlhf, 2));
  run.finish();
  EXPECT_THAT(column("phase"), ::testing::ElementsAre(1, 3));
  EXPECT_THAT(column("step", "arm-none/"), ::testing::ElementsAre(1, 2));
  EXPECT_EQ(lines(directory_.path("progress.jsonl")).size(), 2u);
  const auto arm = lines(directory_.path("arm-none/progress.jsonl"));
  ASSERT_EQ(arm.size(), 2u);
  EXPECT_EQ(arm[1].at("step"), 2);
  EXPECT_EQ(arm[1].at("kl_reverse_mean"), 1.0);
  EXPECT_TRUE(arm[1].at("perplexity_heldout").is_null());
}

TEST_F(RunRecordTest, ADirectoryThatCannotBeWrittenIsNamed) {
  const auto make_in = [](const char* directory) { RunRecord(directory, {}); };
  EXPECT_THAT(message_of<IoError>([&] { make_in("/nonexistent"); }), ::testing::HasSubstr("/nonexistent"));
  directory_.write("arm-none", "a file");
  RunRecord run = make();
  EXPECT_THAT(message_of<IoError>([&] { run.begin_directory(RunRecord::arm_directory("none")); }), ::testing::HasSubstr("arm-none"));
}

TEST_F(RunRecordTest, GoesOnAfterRestoredRowsAndForgetsLaterLines) {
  RunRecord run = make();
  for (int step = 1; step <= 2; ++step) run.add(record_of(Phase::rlhf, step));
  const std::vector<double> state = run.state();
  run.add(record_of(Phase::rlhf, 3));
  run.begin_directory(RunRecord::arm_directory("none"));
  run.add(record_of(Phase::rlhf, 1));
  const std::vector<double> arm_state = run.state();
  run.add(record_of(Phase::rlhf, 2));
  run.finish();

  RunRecord arm = make();
  arm.restore(RunRecord::arm_directory("none"), arm_state);
  arm.add(record_of(Phase::rlhf, 4));
  arm.finish();
  EXPECT_THAT(column("step", "arm-none/"), ::testing::ElementsAre(1, 4));
  EXPECT_EQ(lines(directory_.path("arm-none/progress.jsonl")).size(), 2u);
  EXPECT_THAT(column("step"), ::testing::ElementsAre(1, 2, 3));

  RunRecord back = make();
  back.restore("", state);
  back.add(record_of(Phase::rlhf, 5));
  back.begin_directory(RunRecord::arm_directory("none"));
  back.finish();
  EXPECT_THAT(column("step"), ::testing::ElementsAre(1, 2, 5));
  EXPECT_EQ(lines(directory_.path("progress.jsonl")).size(), 3u);
  EXPECT_EQ(lines(directory_.path("progress.jsonl")).back()["step"], 5);
  EXPECT_TRUE(lines(directory_.path("arm-none/progress.jsonl")).empty());
}

}  // namespace
}  // namespace klmesh::loop
