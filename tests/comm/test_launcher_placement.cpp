// What is read out of the environments of launchers.
#include <gtest/gtest.h>

#include <cstdlib>

#include "klmesh/placement.hpp"

namespace klmesh {
namespace {

constexpr const char* kNames[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_RANK",
                                  "MV2_COMM_WORLD_LOCAL_SIZE",  "MPI_LOCALRANKID",            "MPI_LOCALNRANKS",
                                  "PMI_LOCAL_RANK",             "PMI_LOCAL_SIZE",             "PALS_LOCAL_RANKID",
                                  "SLURM_LOCALID"};

class LauncherPlacement : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* const name : kNames) ::unsetenv(name);
  }
  void TearDown() override { SetUp(); }
  static void set(const char* name, const char* value) { ASSERT_EQ(::setenv(name, value, 1), 0); }
};

void expect_place(int rank, int ranks) {
  const auto place = launcher_placement();
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->rank, rank);
  EXPECT_EQ(place->ranks, ranks);
}

TEST_F(LauncherPlacement, IsNothingWithoutALauncher) { EXPECT_FALSE(launcher_placement().has_value()); }

TEST_F(LauncherPlacement, ReadsEachLauncher) {
  constexpr const char* kPairs[][2] = {{"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
                                       {"MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"},
                                       {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
                                       {"PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"}};
  for (const auto& [rank, ranks] : kPairs) {
    SetUp();
    set(rank, "3");
    set(ranks, "8");
    expect_place(3, 8);
  }
  for (const char* const rank : {"PALS_LOCAL_RANKID", "SLURM_LOCALID"}) {
    SetUp();
    set(rank, "5");
    expect_place(5, 0);
  }
}

// mpirun inside a Slurm job: srun's variables are those of mpirun's own daemon.
TEST_F(LauncherPlacement, TakesMpirunBeforeSlurm) {
  set("SLURM_LOCALID", "0");
  set("OMPI_COMM_WORLD_LOCAL_RANK", "2");
  set("OMPI_COMM_WORLD_LOCAL_SIZE", "4");
  expect_place(2, 4);
}

TEST_F(LauncherPlacement, PassesOverNonsense) {
  for (const char* const text : {"", "-1", "two", "1x", "99999999999"}) {
    SetUp();
    set("OMPI_COMM_WORLD_LOCAL_RANK", text);
    EXPECT_FALSE(launcher_placement().has_value()) << text;
  }
  set("OMPI_COMM_WORLD_LOCAL_RANK", "4");
  set("OMPI_COMM_WORLD_LOCAL_SIZE", "4");
  EXPECT_FALSE(launcher_placement().has_value());
}

}  // namespace
}  // namespace klmesh
