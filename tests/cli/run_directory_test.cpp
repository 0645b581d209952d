#include "cli/run_directory.hpp"

#include <gtest/gtest.h>

#include "cli/scratch_directory.hpp"
#include "cli/usage_error.hpp"

namespace klmesh::cli {
namespace fs = std::filesystem;
namespace {

// Default run directories are relative, so each test works in a directory of its own.
class RunDirectory : public ::testing::Test {
 protected:
  void SetUp() override { fs::current_path(scratch_.path()); }
  void TearDown() override { fs::current_path(before_); }

  fs::path before_ = fs::current_path();
  test::ScratchDirectory scratch_;
};

TEST_F(RunDirectory, DefaultNamesConfigAndUtc) {
  const auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
  EXPECT_EQ(default_run_directory("configs/rlhf.toml", now), "runs/rlhf-20231114T221320Z");
}

TEST_F(RunDirectory, DefaultsNeverCollide) {
  const fs::path first = make_run_directory(std::nullopt, "a.toml");
  const fs::path second = make_run_directory(std::nullopt, "a.toml");
  EXPECT_NE(first, second);
  EXPECT_TRUE(fs::is_directory(first));
  EXPECT_TRUE(fs::is_directory(second));
}

TEST_F(RunDirectory, GivenIsMadeWithParents) {
  EXPECT_EQ(make_run_directory("x/y/z", "a.toml"), "x/y/z");
  EXPECT_TRUE(fs::is_directory("x/y/z"));
  EXPECT_NO_THROW(make_run_directory("x/y/z", "a.toml"));  // still empty
}

TEST_F(RunDirectory, NonEmptyOrNoDirectoryIsRefused) {
  scratch_.write("file", "");
  EXPECT_THROW(make_run_directory(scratch_.path().string(), "a.toml"), UsageError);
  EXPECT_THROW(make_run_directory("file", "a.toml"), UsageError);
}

TEST_F(RunDirectory, WhatCannotBeMadeIsAnIoError) {
  scratch_.write("file", "");
  EXPECT_THROW(make_run_directory("file/run", "a.toml"), IoError);
}

}  // namespace
}  // namespace klmesh::cli
