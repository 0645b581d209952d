// Layers, errors and the round trip of the configuration.
#include "cli/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/scratch_directory.hpp"

namespace klmesh::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

template <class E>
std::string message(const auto& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "no such error";
}

std::string data_error(std::string_view document) {
  return message<InvalidData>([&] { parse_config(document, "job.toml"); });
}

class Layers : public ::testing::Test {
 protected:
  loop::TrainConfig load(std::vector<std::string> environment, std::vector<std::string> sets) {
    return load_config(file_, environment, sets);
  }
  std::string usage_error(std::vector<std::string> environment, std::vector<std::string> sets) {
    return message<UsageError>([&] { load(environment, sets); });
  }

  test::ScratchDirectory scratch_;
  std::string file_ = scratch_.write("job.toml", "[mle]\nsteps = 7\nbatch_tokens = 8\nlearning_rate = 1\n");
};

TEST_F(Layers, EachWinsOverTheFormer) {
  const loop::TrainConfig config =
      load({"KLMESH_MLE__STEPS=17", "KLMESH_MLE__BATCH_TOKENS=18"}, {"mle.steps=27"});
  EXPECT_EQ(config.mle.evaluate_every, loop::TrainConfig{}.mle.evaluate_every);
  EXPECT_EQ(config.mle.learning_rate, 1.0);  // file; an integer will do for a number
  EXPECT_EQ(config.mle.batch_tokens, 18);    // environment
  EXPECT_EQ(config.mle.steps, 27);           // --set
}

TEST_F(Layers, TheLastSetWins) { EXPECT_EQ(load({}, {"seed=1", "seed=2"}).seed, 2u); }

TEST_F(Layers, TypedValuesAreTomlElseStrings) {
  EXPECT_EQ(load({}, {"reward.preferred=law"}).reward.preferred, "law");
  EXPECT_EQ(load({}, {"reward.preferred=\"law\""}).reward.preferred, "law");
  EXPECT_EQ(load({}, {"reward.preferred=a # b"}).reward.preferred, "a # b");
  EXPECT_EQ(load({}, {"mle.learning_rate=1e-2"}).mle.learning_rate, 0.01);
  EXPECT_THAT(load({}, {"rlhf.arms=[\"none\", \"k3_loss\"]"}).rlhf.arms, ElementsAre("none", "k3_loss"));
  EXPECT_THAT(load({"KLMESH_DATA__PATHS=/tmp/a=b"}, {}).data.paths, ElementsAre("/tmp/a=b"));
}

TEST_F(Layers, AValueCannotSmuggleInAnotherKey) {
  const loop::TrainConfig config = load({}, {"reward.preferred=\"law\"\n[mle]\nsteps = 99"});
  EXPECT_EQ(config.mle.steps, 7);
  EXPECT_THAT(config.reward.preferred, HasSubstr("steps = 99"));
}

TEST_F(Layers, OnlyDoubleUnderscoresAreConfiguration) {
  EXPECT_EQ(load({"KLMESH_SEED=9", "KLMESH_BUILD_DIR=x", "PATH=/bin", "KLMESHX__Y=1"}, {}).seed, 1u);
  EXPECT_THAT(usage_error({"KLMESH__SEED=9"}, {}), HasSubstr("KLMESH__SEED"));
}

TEST_F(Layers, WhatIsTypedWrongIsAUsageError) {
  EXPECT_THAT(usage_error({"KLMESH_MLE__STEP=1"}, {}),
              AllOf(HasSubstr("KLMESH_MLE__STEP"), HasSubstr("did you mean mle.steps?")));
  EXPECT_THAT(usage_error({"KLMESH_RLHF__BETA=x"}, {}),
              HasSubstr("rlhf.beta must be a number >= 0, got the string"));
  EXPECT_THAT(usage_error({}, {"mle.steps"}), HasSubstr("expected KEY=VALUE"));
  EXPECT_THAT(usage_error({}, {"=3"}), HasSubstr("expected KEY=VALUE"));
  EXPECT_THAT(usage_error({}, {"mle.steps=1.5"}), HasSubstr("mle.steps must be an integer >= 0"));
  EXPECT_THAT(usage_error({}, {"mle.steps=-1"}), HasSubstr("mle.steps must be an integer >= 0, got -1"));
  EXPECT_THAT(usage_error({}, {"mle=3"}), HasSubstr("mle is a section"));
  EXPECT_THAT(usage_error({}, {"mle.steps="}), HasSubstr("mle.steps"));
  EXPECT_THAT(usage_error({}, {"reward.preferred=\xff"}), HasSubstr("reward.preferred"));
  EXPECT_THAT(usage_error({}, {"reward.preferred=songs-poems"}), HasSubstr("reward.rejected"));
}

TEST_F(Layers, AMissingFileIsNamed) {
  const auto missing = scratch_.path() / "missing.toml";
  EXPECT_THAT(message<InputNotFound>([&] { load_config(missing, {}, {}); }), HasSubstr("missing.toml"));
  EXPECT_THAT(message<InputNotFound>([&] { load_config(scratch_.path(), {}, {}); }), HasSubstr("directory"));
}

TEST(ConfigFile, ErrorsNameFileLineAndKey) {
  EXPECT_THAT(data_error("seed = 1\n[mle]\nstepz = 2\n"),
              AllOf(HasSubstr("job.toml:3:"), HasSubstr("mle.stepz"), HasSubstr("did you mean mle.steps?")));
  EXPECT_THAT(data_error("\n[rhlf]\nbeta = 1\n"), AllOf(HasSubstr("job.toml:2:"), HasSubstr("rhlf")));
  EXPECT_THAT(data_error("[wholly_unlike_anything]\n"),
              AllOf(HasSubstr("unknown key"), Not(HasSubstr("did you"))));
  EXPECT_THAT(data_error("seed = \n"), HasSubstr("job.toml:1:"));
  EXPECT_THAT(data_error("seed = 1\nseed = 2\n"), HasSubstr("job.toml:2:"));
  EXPECT_THAT(data_error("mle = 3\n"), HasSubstr("mle is a section"));
  EXPECT_THAT(data_error("[mle.steps]\nx = 1\n"),
              HasSubstr("mle.steps must be an integer >= 0, got a table"));
}

TEST(ConfigFile, WrongTypes) {
  EXPECT_THAT(data_error("seed = \"one\"\n"),
              HasSubstr("seed must be an integer >= 0, got the string \"one\""));
  EXPECT_THAT(data_error("seed = true\n"), HasSubstr("got a boolean"));
  EXPECT_THAT(data_error("seed = -1\n"), HasSubstr("got -1"));
  EXPECT_THAT(data_error("[model]\ncontext = 9999999999\n"), HasSubstr("got 9999999999"));
  EXPECT_THAT(data_error("[mle]\nsteps = 2.0\n"), HasSubstr("got a floating-point number"));
  EXPECT_THAT(data_error("[data]\npaths = [\"a\", 1]\n"), HasSubstr("data.paths must be a list of strings"));
  EXPECT_THAT(data_error("[reward]\npreferred = 1984\n"), HasSubstr("reward.preferred must be a string"));
}

TEST(ConfigFile, OutOfRange) {
  EXPECT_THAT(data_error("[adam]\nbeta1 = 1.0\n"),
              HasSubstr("adam.beta1 must be a number >= 0 and < 1, got 1"));
  EXPECT_THAT(data_error("[adam]\nepsilon = 0.0\n"), HasSubstr("adam.epsilon must be a number > 0"));
  EXPECT_THAT(data_error("[rlhf]\nbeta = nan\n"), HasSubstr("rlhf.beta"));
  EXPECT_THAT(data_error("[rlhf]\nbeta = inf\n"), HasSubstr("rlhf.beta"));
  EXPECT_THAT(data_error("[rlhf]\narms = [\"none\", \"k9\"]\n"),
              HasSubstr("\"k9\" is not one of exact_reward"));
  EXPECT_THAT(data_error("[rlhf]\narms = []\n"), HasSubstr("rlhf.arms must not be empty"));
  EXPECT_THAT(parse_config("[data]\nexclude = []\n", "job.toml").data.exclude, ::testing::IsEmpty());
  EXPECT_THAT(data_error("[rlhf]\narms = [\"none\", \"none\"]\n"), HasSubstr("\"none\" is there twice"));
  EXPECT_THAT(data_error("[reward]\npreferred = \"a\"\nrejected = \"a\"\n"), HasSubstr("reward.rejected"));
  EXPECT_NO_THROW(parse_config("[loop]\nfirst_phase = 3\n", "job.toml"));
  EXPECT_THAT(data_error("[loop]\nfirst_phase = 4\n"),
              HasSubstr("loop.first_phase must be an integer >= 1 and <= 3"));
}

TEST(ConfigPrint, RoundTrip) {
  loop::TrainConfig config;
  config.seed = 9007199254740993u;  // no double
  config.data.paths = {"/a b/\"c\"\\d", "tab\there", "käse"};
  config.mle.learning_rate = 0.1 + 0.2;
  config.mle.weight_decay = 3;
  config.adam.epsilon = 1e-300;
  config.rlhf.arms = {"k2_loss"};
  const std::string text = print_config(config);
  const loop::TrainConfig read = parse_config(text, "printed");
  EXPECT_EQ(read.seed, config.seed);
  EXPECT_EQ(read.data.paths, config.data.paths);
  EXPECT_EQ(read.mle.learning_rate, config.mle.learning_rate);
  EXPECT_EQ(read.adam.epsilon, config.adam.epsilon);
  EXPECT_EQ(read.rlhf.arms, config.rlhf.arms);
  EXPECT_EQ(print_config(read), text);  // all other keys
}

TEST(ConfigPrint, Options) {
  const std::string text = print_config({}, {.comments = false, .paths = false});
  EXPECT_THAT(text, AllOf(Not(HasSubstr("#")), Not(HasSubstr("paths")), HasSubstr("vocab_size = ")));
  EXPECT_EQ(print_config(parse_config(text, "printed")), print_config({}));
}

TEST(ConfigFile, ShippedOnesAreValid) {
  for (const char* name : {"rlhf.toml", "mle.toml"}) {
    EXPECT_NO_THROW(load_config(std::filesystem::path(KLMESH_CONFIGS) / name, {}, {})) << name;
  }
}

}  // namespace
}  // namespace klmesh::cli
