// The built program from outside: exit codes, and which stream says what.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/process.hpp"

namespace klmesh::cli::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Program : public ::testing::Test {
 protected:
  static Result klmesh(const std::string& arguments) {
    return run(fmt::format("{} {}", KLMESH_PROGRAM, arguments));
  }
  static Result klmesh_on(int ranks, const std::string& arguments) {
    return run(fmt::format("{} -n {} {} {}", KLMESH_MPIEXEC, ranks, KLMESH_PROGRAM, arguments));
  }
  static void expect_failure(const Result& result, int code, const std::string& message) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(count(result.err, "klmesh: "), 1) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
  }

  ScratchDirectory scratch_;
  std::string good_ = scratch_.write("good.toml", "[mle]\nsteps = 7\n");
  std::string bad_ = scratch_.write("bad.toml", "[mle]\nstepz = 7\n");
  std::string missing_ = (scratch_.path() / "missing.toml").string();
};

TEST_F(Program, HelpAndVersionSucceed) {
  for (const char* arguments : {"--help", "train --help", "info --help", "--version"}) {
    const Result result = klmesh(arguments);
    EXPECT_EQ(result.code, 0) << arguments;
    EXPECT_THAT(result.out, HasSubstr("klmesh")) << arguments;
    EXPECT_EQ(result.err, "") << arguments;
  }
}

TEST_F(Program, PrintConfigAppliesAllLayers) {
  const Result result = klmesh("train " + good_ + " --print-config --set rlhf.beta=0.25");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("steps = 7 "), HasSubstr("beta = 0.25 ")));
  const Result environment =
      run("env KLMESH_MLE__STEPS=8 " KLMESH_PROGRAM " train " + good_ + " --print-config");
  EXPECT_THAT(environment.out, HasSubstr("steps = 8 "));
}

TEST_F(Program, WhatItPrintsItReads) {
  const Result first = klmesh("train " + good_ + " --print-config");
  const std::string printed = scratch_.write("printed.toml", first.out);
  EXPECT_EQ(klmesh("train " + printed + " --print-config").out, first.out);
}

TEST_F(Program, UsageErrorsAre64) {
  expect_failure(klmesh(""), 64, "subcommand");
  expect_failure(klmesh("train"), 64, "CONFIG");
  expect_failure(klmesh("train " + good_ + " --bogus"), 64, "--bogus");
  expect_failure(klmesh("train " + good_ + " --backend tpu"), 64, "tpu");
  expect_failure(klmesh("train " + good_ + " --mesh 2x"), 64, "2x");
  expect_failure(klmesh("train " + good_ + " --print-config --set mle.stepz=1"), 64, "mle.steps?");
  expect_failure(run("env KLMESH_MLE__STEPS=-8 " KLMESH_PROGRAM " train " + good_ + " --print-config"), 64,
                 "KLMESH_MLE__STEPS");
}

TEST_F(Program, ConfigErrorsAre65And66) {
  expect_failure(klmesh("train " + bad_ + " --print-config"), 65, "bad.toml:2: unknown key mle.stepz");
  expect_failure(klmesh("train " + bad_), 65, "bad.toml:2: unknown key mle.stepz");
  expect_failure(klmesh("train " + missing_), 66, "missing.toml");
}

TEST_F(Program, CudaWithoutAGpuIs69) {
  expect_failure(run("env CUDA_VISIBLE_DEVICES= " KLMESH_PROGRAM " train " + good_ + " --backend cuda"), 69,
                 "--backend cuda: ");
}

TEST_F(Program, AFullDiskIs74) {
  const Result result = run("sh -c '" KLMESH_PROGRAM " --help >/dev/full'");
  EXPECT_EQ(result.code, 74) << result.err;
}

TEST_F(Program, ANonEmptyRunDirectoryIs64) {
  expect_failure(klmesh("train " + good_ + " --run " + scratch_.path().string()), 64, "not empty");
}

TEST_F(Program, OneOfManyRanksSpeaks) {
  const Result help = klmesh_on(3, "--version");
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(count(help.out, "klmesh "), 1) << help.out;
  for (const auto& [arguments, code] : {std::pair("train " + good_ + " --bogus", 64),
                                        {"train " + bad_, 65},
                                        {"train " + missing_, 66},
                                        {"train " + good_ + " --mesh 5x1", 64}}) {
    const Result result = klmesh_on(3, arguments);
    EXPECT_EQ(result.code, code) << arguments << '\n' << result.err;
    EXPECT_EQ(count(result.err, "klmesh: "), 1) << arguments << '\n' << result.err;
  }
}

TEST_F(Program, InfoTellsTheMesh) {
  const Result result = klmesh_on(2, "info");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(StartsWith("version"), HasSubstr("(2 ranks)"), HasSubstr("default mesh  1x2")));
}

}  // namespace
}  // namespace klmesh::cli::test
