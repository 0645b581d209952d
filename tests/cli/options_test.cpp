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

TEST(Options, HelpAndVersionNeedNothingElse) {
  EXPECT_THAT(parse({"--help"}).text, HasSubstr("train"));
  EXPECT_THAT(parse({"train", "--help"}).text, HasSubstr("rlhf.beta"));
  EXPECT_THAT(parse({"--version"}).text, HasSubstr("klmesh "));
  EXPECT_EQ(parse({"info"}).subcommand, Subcommand::info);
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
  EXPECT_THROW(parse({"train", "c", "--backend", "cuda"}), BackendUnavailable);
}

}  // namespace
}  // namespace klmesh::cli
