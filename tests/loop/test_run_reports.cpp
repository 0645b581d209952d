#include "loop/run_reports.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "klmesh/error.hpp"
#include "loop/word_archive.hpp"

namespace klmesh::loop {
namespace {

StepRecord example_step(std::int64_t step, double kl) {
  StepRecord record;
  record.phase = Phase::rlhf;
  record.step = step;
  record.reward_mean = static_cast<double>(step);
  record.statistics.emplace();
  QuantityStatistics& q = record.statistics->quantities[static_cast<std::size_t>(Quantity::kl_reverse)];
  q.mean = kl;
  q.min = kl / 2;
  q.max = kl * 2;
  q.infinite = 3;
  return record;
}

RunReports example() {
  RunReports reports;
  reports.summary.mle = MleReport{{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10, std::numeric_limits<double>::quiet_NaN()}};
  reports.summary.reward = RewardReport{0.75, 12};
  ArmReport arm;
  arm.penalty = Penalty::k3_loss;
  arm.first = example_step(1, 0.1);
  arm.kl_min = -std::numeric_limits<double>::infinity();
  arm.samples_before = {"", "two words \xc3\xa9"};
  reports.summary.arms = {arm, arm};
  reports.heldout.loss = 0.5;
  reports.arm.add(example_step(4, 0.2));
  reports.arm.report.last.beta = 0.25;
  reports.arm.report.last.stop_limit = 0.125;
  reports.arm.next_beta = 0.75;
  return reports;
}

TEST(RunReports, AreTheSameAfterAReadingBack) {
  const std::vector<std::int64_t> words = to_words(example());
  const RunReports read = reports_of(words);
  EXPECT_EQ(to_words(read), words);
  EXPECT_EQ(read.summary.arms.at(1).samples_before, example().summary.arms.at(1).samples_before);
  EXPECT_EQ(read.summary.arms.at(0).penalty, Penalty::k3_loss);
  EXPECT_EQ((*read.arm.report.first.statistics)[Quantity::kl_reverse].max, 0.4);
  EXPECT_EQ((*read.arm.report.first.statistics)[Quantity::kl_reverse].infinite, 3);
  EXPECT_EQ(read.summary.reward->pairs, 12);
  EXPECT_EQ(read.arm.report.last.beta, 0.25);
  EXPECT_EQ(read.arm.report.last.stop_limit, 0.125);
  EXPECT_EQ(read.arm.next_beta, 0.75);
  EXPECT_FALSE(reports_of(to_words({})).summary.mle.has_value());
}

TEST(RunReports, RefuseWordsThatEndEarlyOrLate) {
  std::vector<std::int64_t> words = to_words(example());
  for (std::size_t size = 0; size < words.size(); ++size) {
    const std::vector<std::int64_t> some(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(reports_of(some), InvalidData) << size;
  }
  words.push_back(0);
  EXPECT_THROW(reports_of(words), InvalidData);
}

TEST(WordArchive, RefusesAListThatIsLongerThanItsWords) {
  WordArchive archive({1000000000000, 1, 2});
  std::vector<double> list;
  EXPECT_THROW(archive(list), InvalidData);
}

TEST(ArmProgress, KeepsExtremesAndTheMeanOfTheLastTenSteps) {
  ArmProgress progress;
  for (int step = 1; step <= 25; ++step) progress.add(example_step(step, 0.01 * step));
  const ArmReport report = progress.finished();
  EXPECT_EQ(report.first.step, 1);
  EXPECT_EQ(report.last.step, 25);
  EXPECT_DOUBLE_EQ(report.final_reward, 20.5);
  EXPECT_DOUBLE_EQ(report.final_kl, 0.205);
  EXPECT_EQ(report.kl_min, 0.005);
  EXPECT_EQ(report.kl_max, 0.5);
}

TEST(ArmReport, SaysWhereItEndedEarly) {
  ArmReport report;
  report.last = example_step(17, 0.0625);
  EXPECT_EQ(early_end(report), "");
  report.last.stop_limit = 0.05;
  EXPECT_EQ(early_end(report), "stopped early at step 17: exact KL 0.0625 > rlhf.stop_kl 0.05 nats a token");
}

TEST(RunPosition, IsSaidInWords) {
  EXPECT_EQ(to_string(RunPosition{Phase::mle, 0, "", 3}), "phase 1 step 3");
  EXPECT_EQ(to_string(RunPosition{Phase::rlhf, 1, "none", 12}), "phase 3 (none) step 12");
}

}  // namespace
}  // namespace klmesh::loop
