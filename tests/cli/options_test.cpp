#include "cli/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace klmesh::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Command parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "klmesh");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(Options, Train) {
  const Command command =
      parse({"train", "--set", "seed=1", "job.toml", "--set", "mle.steps=2", "--run", "r", "--mesh", "2x4",
             "--deadline", "5", "--dump-tokens", "d", "--replay-tokens", "e"});
  EXPECT_EQ(command.subcommand, Subcommand::train);
  EXPECT_EQ(command.train.config_path, "job.toml");
  EXPECT_THAT(command.train.sets, ElementsAre("seed=1", "mle.steps=2"));
  EXPECT_EQ(command.train.run_directory, "r");
  EXPECT_EQ(command.train.mesh, (MeshShape{2, 4}));
  EXPECT_EQ(command.train.deadline_seconds, 5);
  EXPECT_EQ(command.train.dump_tokens, "d");
  EXPECT_EQ(command.train.replay_tokens, "e");
  EXPECT_FALSE(command.train.print_config);
}

TEST(Options, Defaults) {
  const TrainOptions train = parse({"train", "job.toml"}).train;
  EXPECT_EQ(train.deadline_seconds, 300);
  EXPECT_FALSE(train.mesh || train.run_directory || train.dump_tokens || train.replay_tokens);
}

// Launch scripts put their choice first and the user's arguments behind it.
TEST(Options, TheLastOneWins) {
  EXPECT_EQ(parse({"train", "c", "--mesh", "2x2", "--mesh", "1x4"}).train.mesh, (MeshShape{1, 4}));
  EXPECT_EQ(parse({"train", "c", "--run", "a", "--run", "b"}).train.run_directory, "b");
}

TEST(Options, Eval) {
  const Command command = parse({"eval", "f.h5", "--mesh", "1x2", "--unit", "bits", "--quantities", "core",
                                 "--policy-scale", "0.5", "--reference-scale", "2", "--skip-invalid", "--per-token",
                                 "t.h5", "--json", "-", "--deadline", "7", "--backend", "cpu", "--renyi", "2.5",
                                 "--aggregate", "sequence-sum"});
  EXPECT_EQ(command.subcommand, Subcommand::eval);
  const EvalCommand& eval = command.eval;
  EXPECT_EQ(eval.evaluation.path, "f.h5");
  EXPECT_EQ(eval.evaluation.quantities, QuantitySet::core);
  EXPECT_EQ(eval.evaluation.policy_scale, 0.5);
  EXPECT_EQ(eval.evaluation.reference_scale, 2);
  EXPECT_TRUE(eval.evaluation.skip_invalid);
  EXPECT_EQ(eval.evaluation.renyi_alpha, 2.5);
  EXPECT_EQ(eval.aggregate, Aggregate::sequence_sum);
  EXPECT_EQ(eval.mesh, (MeshShape{1, 2}));
  EXPECT_EQ(eval.unit, Unit::bits);
  EXPECT_EQ(eval.per_token, "t.h5");
  EXPECT_EQ(eval.json, "-");
  EXPECT_EQ(eval.backend, eval::BackendChoice::cpu);
  EXPECT_EQ(eval.deadline_seconds, 7);
}

TEST(Options, EvalDefaults) {
  const EvalCommand eval = parse({"eval", "f.h5"}).eval;
  EXPECT_EQ(eval.evaluation.quantities, QuantitySet::all);
  EXPECT_EQ(eval.evaluation.policy_scale, 1);
  EXPECT_EQ(eval.evaluation.reference_scale, 1);
  EXPECT_EQ(eval.unit, Unit::nats);
  EXPECT_EQ(eval.backend, eval::BackendChoice::automatic);
  EXPECT_EQ(eval.deadline_seconds, 300);
  EXPECT_EQ(eval.aggregate, Aggregate::token_mean);
  EXPECT_FALSE(eval.evaluation.skip_invalid || eval.evaluation.renyi_alpha || eval.mesh || eval.per_token || eval.json);
}

TEST(Options, EvalErrors) {
  EXPECT_THROW(parse({"eval"}), UsageError);
  EXPECT_THROW(parse({"eval", "f", "g"}), UsageError);
  EXPECT_THROW(parse({"eval", "f", "--unit", "bytes"}), UsageError);
  EXPECT_THROW(parse({"eval", "f", "--quantities", "some"}), UsageError);
  EXPECT_THROW(parse({"eval", "f", "--mesh", "1x65"}), InvalidArgument);
  EXPECT_THROW(parse({"eval", "f", "--mesh", ""}), InvalidArgument);
  EXPECT_THROW(parse({"eval", "f", "--deadline", "-1"}), UsageError);
  EXPECT_THROW(parse({"eval", "f", "--backend", "tpu"}), UsageError);
  EXPECT_EQ(parse({"eval", "f", "--backend", "cuda"}).eval.backend, eval::BackendChoice::cuda);
  EXPECT_THROW(parse({"eval", "f", "--aggregate", "mean"}), UsageError);
  EXPECT_EQ(parse({"eval", "f", "--aggregate", "sequence-mean"}).eval.aggregate, Aggregate::sequence_mean);
  EXPECT_EQ(parse({"eval", "f", "--renyi", "1"}).eval.evaluation.renyi_alpha, 1.0);
  for (const char* alpha : {"0", "-1", "nan", "inf", "1.0000001", "two"}) {
    EXPECT_THROW(parse({"eval", "f", "--renyi", alpha}), UsageError) << alpha;
  }
  for (const char* option : {"--policy-scale", "--reference-scale"}) {
    for (const char* scale : {"0", "-1", "nan", "inf", "-inf", "1e999", "one"}) {
      EXPECT_THROW(parse({"eval", "f", option, scale}), UsageError) << option << ' ' << scale;
    }
  }
}

TEST(Options, DumpLogits) {
  const auto request = parse({"train", "c", "--dump-logits", "3:17"}).train.dump_logits;
  ASSERT_TRUE(request);
  EXPECT_EQ(request->phase, loop::Phase::rlhf);
  EXPECT_EQ(request->step, 17);
  EXPECT_EQ(parse({"train", "c", "--dump-logits", "1:5000000000"}).train.dump_logits->step, 5000000000);
  EXPECT_EQ(parse({"train", "c", "--dump-logits", "4:2"}).train.dump_logits->phase, loop::Phase::distill);
  EXPECT_FALSE(parse({"train", "c"}).train.dump_logits);
  for (const char* text : {"", "3", "3:", ":17", "3:0", "3:-1", "2:1", "5:1", "0:1", "3:1x", "3:1:1", "3 :1", "x:1",
                           "3:99999999999999999999"}) {
    EXPECT_THROW(parse({"train", "c", "--dump-logits", text}), UsageError) << text;
  }
}

TEST(Options, HelpAndVersionNeedNothingElse) {
  EXPECT_THAT(parse({"--help"}).text, HasSubstr("train"));
  EXPECT_THAT(parse({"train", "--help"}).text, HasSubstr("rlhf.beta"));
  EXPECT_THAT(parse({"--version"}).text, HasSubstr("klmesh "));
  EXPECT_EQ(parse({"info"}).subcommand, Subcommand::info);
}

TEST(Options, TheBackEndOfATrainingRun) {
  EXPECT_EQ(parse({"train", "c"}).train.backend, BackendChoice::automatic);
  EXPECT_EQ(parse({"train", "c", "--backend", "cpu"}).train.backend, BackendChoice::cpu);
  EXPECT_EQ(parse({"train", "c", "--backend", "cuda"}).train.backend, BackendChoice::cuda);
}

TEST(Options, Errors) {
  EXPECT_THROW(parse({}), UsageError);
  EXPECT_THROW(parse({"trian"}), UsageError);
  EXPECT_THROW(parse({"train"}), UsageError);
  EXPECT_THROW(parse({"train", "c", "--mesh", "2by2"}), InvalidArgument);
  EXPECT_THROW(parse({"train", "c", "--backend", "tpu"}), UsageError);
  EXPECT_THROW(parse({"train", "c", "--deadline", "0"}), UsageError);
  EXPECT_THROW(parse({"train", "c", "--deadline", "nan"}), UsageError);
  EXPECT_THROW(parse({"train", "c", "--deadline", "soon"}), UsageError);
}

}  // namespace
}  // namespace klmesh::cli
