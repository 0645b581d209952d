#include "loop/kl_controller.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "klmesh/error.hpp"
#include "loop/text_directory.hpp"

namespace klmesh::loop {
namespace {

using ::testing::HasSubstr;

/// Binary fractions, so that the expected values below are exact but for the clip at 0.2.
RlhfConfig adaptive() {
  RlhfConfig config;
  config.controller = "adaptive";
  config.beta = 0.5;
  config.target_kl = 0.25;
  config.sequences = 64;
  config.horizon = 128;  // half of the error a step
  return config;
}

double beta_after(const RlhfConfig& config, double kl, Penalty penalty = Penalty::exact_reward) {
  KlController controller(penalty, config);
  controller.update(kl);
  return controller.beta();
}

TEST(KlController, AFixedBetaStays) {
  RlhfConfig config = adaptive();
  config.controller = "fixed";
  for (const double kl : {0.0, 0.25, 10.0}) EXPECT_EQ(beta_after(config, kl), 0.5);
}

TEST(KlController, FollowsTheProportionOfTheError) {
  EXPECT_EQ(beta_after(adaptive(), 0.25), 0.5);                        // e = 0
  EXPECT_EQ(beta_after(adaptive(), 0.28125), 0.5 * (1 + 0.125 / 2));   // e = 0.28125 / 0.25 - 1
  EXPECT_EQ(beta_after(adaptive(), 0.21875), 0.5 * (1 - 0.125 / 2));
}

TEST(KlController, AStepIsAFifthOfTheErrorAtMost) {
  EXPECT_DOUBLE_EQ(beta_after(adaptive(), 0.5), 0.55);
  EXPECT_DOUBLE_EQ(beta_after(adaptive(), std::numeric_limits<double>::infinity()), 0.55);
  EXPECT_DOUBLE_EQ(beta_after(adaptive(), 0.0), 0.45);
  EXPECT_LT(beta_after(adaptive(), 0.297), 0.55);  // 18.8 % over
}

TEST(KlController, StepsMultiply) {
  KlController controller(Penalty::k3_loss, adaptive());
  for (const double kl : {0.0, 9.0, 9.0, 0.28125}) controller.update(kl);
  EXPECT_DOUBLE_EQ(controller.beta(), 0.5 * 0.9 * 1.1 * 1.1 * 1.0625);
  controller.restore(0.25);
  controller.update(0.28125);
  EXPECT_EQ(controller.beta(), 0.25 * 1.0625);
}

TEST(KlController, WithoutAPenaltyThereIsNoBeta) {
  EXPECT_EQ(KlController(Penalty::none, adaptive()).beta(), 0.0);
  EXPECT_EQ(beta_after(adaptive(), 9.0, Penalty::none), 0.0);
}

TEST(KlController, SettingsThatCannotSteerAreNamed) {
  const auto refusal = [](auto change) {
    RlhfConfig config = adaptive();
    change(config);
    return message_of<InvalidData>([&] { require_controllable(config); });
  };
  EXPECT_NO_THROW(require_controllable(adaptive()));
  EXPECT_THAT(refusal([](RlhfConfig& c) { c.controller = "adaptiv"; }), HasSubstr("rlhf.controller: \"adaptiv\""));
  EXPECT_THAT(refusal([](RlhfConfig& c) { c.beta = 0; }), HasSubstr("rlhf.beta"));
  EXPECT_THAT(refusal([](RlhfConfig& c) { c.target_kl = 0; }), HasSubstr("rlhf.target_kl"));
  EXPECT_THAT(refusal([](RlhfConfig& c) { c.horizon = 12.75; }), HasSubstr("rlhf.horizon must be > 12.8"));
  RlhfConfig fixed = adaptive();
  fixed.controller = "fixed";
  fixed.beta = 0;
  EXPECT_NO_THROW(require_controllable(fixed));
}

TEST(KlController, AnArmGoesTooFarAboveTheLimitAndNotAtIt) {
  RlhfConfig config;
  EXPECT_FALSE(goes_too_far(1e9, config));  // 0: never
  config.stop_kl = 0.25;
  EXPECT_FALSE(goes_too_far(0.25, config));
  EXPECT_TRUE(goes_too_far(0.2500001, config));
}

}  // namespace
}  // namespace klmesh::loop
