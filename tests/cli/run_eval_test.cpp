// What the probe on rank 0 found is thrown on every rank, before anything opens the file.
#include <gtest/gtest.h>
#include <mpi.h>

#include "cli/eval.hpp"
#include "klmesh/error.hpp"

namespace klmesh::cli {
namespace {

TEST(RunEval, ARefusalOnRankZeroStopsAllRanks) {
  int rank = 0;
  EXPECT_EQ(MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_SUCCESS);
  EvalCommand command;
  command.evaluation.path = "/nonexistent.h5";  // opened, it would be InputNotFound
  std::optional<Failure> refusal;
  if (rank == 0) refusal = Failure{ExitCode::data, "crashes the HDF5 reader"};
  try {
    run_eval(command, refusal, MPI_COMM_WORLD, {});
    ADD_FAILURE() << "not refused";
  } catch (const InvalidData& error) {
    EXPECT_STREQ(error.what(), "crashes the HDF5 reader");
  } catch (const InputNotFound& error) {
    ADD_FAILURE() << "opened: " << error.what();
  }
}

}  // namespace
}  // namespace klmesh::cli
