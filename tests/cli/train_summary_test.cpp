#include "cli/train_summary.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace klmesh::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

loop::StepRecord step(std::int64_t number, double kl, double beta) {
  loop::StepRecord record;
  record.phase = loop::Phase::rlhf;
  record.step = number;
  record.beta = beta;
  record.statistics.emplace();
  record.statistics->quantities[static_cast<std::size_t>(Quantity::kl_reverse)].mean = kl;
  return record;
}

loop::ArmReport arm(loop::Penalty penalty, std::int64_t steps, double kl) {
  loop::ArmReport report;
  report.penalty = penalty;
  report.first = step(1, 0, 0.5);
  report.last = step(steps, kl, 0.5);
  report.final_kl = kl;
  return report;
}

TEST(TrainSummary, ComparesArmsOfOneLength) {
  const std::string text =
      format_summary({.corpus = {}, .mle = {}, .reward = {},
                      .arms = {arm(loop::Penalty::exact_reward, 20, 0.25), arm(loop::Penalty::none, 20, 1)}, .stopped = {}});
  EXPECT_THAT(text, HasSubstr("# without a penalty the policy moved 4.0 times as far as with exact_reward "
                              "(KL 1 against 0.25)\n"));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("stopped early")), Not(HasSubstr("# beta"))));
}

TEST(TrainSummary, SaysWhereAnArmStoppedAndThatLengthsDiffer) {
  loop::ArmReport none = arm(loop::Penalty::none, 7, 1);
  none.final_kl = 0.5;  // the mean of its few steps
  none.last.stop_limit = 0.875;
  loop::ArmReport held = arm(loop::Penalty::exact_reward, 20, 0.25);
  held.last.beta = 0.75;
  const std::string text =
      format_summary({.corpus = {}, .mle = {}, .reward = {}, .arms = {held, none}, .stopped = {}});
  EXPECT_THAT(text, HasSubstr("# stopped early at step 7: exact KL 1 > rlhf.stop_kl 0.875 nats a token\n"));
  EXPECT_THAT(text, HasSubstr("moved 4.0 times as far as with exact_reward (KL 1 at its last step, 7, against 0.25 at step 20)\n"));
  EXPECT_THAT(text, HasSubstr("# beta, adaptive: 0.5 at step 1, 0.75 at step 20\n"));
}

TEST(TrainSummary, ExplainsTheMemoryOfTheBackEnd) {
  loop::TrainingSummary summary;
  EXPECT_THAT(format_summary(summary), Not(HasSubstr("memory")));
  summary.memory = loop::MemoryReport{"cuda", 5 << 20, {{"logits", 4 << 20}, {"parameters", 1 << 20}}, 3 << 19,
                                      1 << 18, 6 << 20};
  EXPECT_THAT(format_summary(summary),
              HasSubstr("# memory of backend cuda on rank 0, at its peak: 5 MiB of tensors (logits 4 MiB, parameters 1 MiB), "
                        "1.5 MiB of the engine's workspace, and 0.25 MiB of a step's sums; no rank has more than 6 MiB of "
                        "tensors\n"));
}

TEST(TrainSummary, ComparesNothingWithAPolicyThatDidNotMove) {
  EXPECT_THAT(format_summary({.corpus = {}, .mle = {}, .reward = {},
                              .arms = {arm(loop::Penalty::exact_reward, 1, 0), arm(loop::Penalty::none, 1, 0)},
                              .stopped = {}}),
              Not(HasSubstr("times as far")));
}

}  // namespace
}  // namespace klmesh::cli
