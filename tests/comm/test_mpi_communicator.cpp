#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "comm/groups.hpp"
#include "comm/mpi_check.hpp"
#include "comm/mpi_communicator.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

using comm::MpiCommunicator;

bool returns_errors(MPI_Comm comm) {
  MPI_Errhandler handler = MPI_ERRHANDLER_NULL;
  EXPECT_EQ(MPI_Comm_get_errhandler(comm, &handler), MPI_SUCCESS);
  const bool returns = handler == MPI_ERRORS_RETURN;
  EXPECT_EQ(MPI_Errhandler_free(&handler), MPI_SUCCESS);
  return returns;
}

TEST(MpiCommunicator, ReturnsErrorsOnWhatIsItsOwn) {
  EXPECT_FALSE(returns_errors(MPI_COMM_WORLD));
  const auto all = MpiCommunicator::duplicate(MPI_COMM_WORLD, {});
  EXPECT_NE(all->handle(), MPI_COMM_WORLD);
  EXPECT_TRUE(returns_errors(all->handle()));
  EXPECT_TRUE(returns_errors(all->split(all->rank() % 2, 0)->handle()));
  EXPECT_FALSE(returns_errors(MPI_COMM_WORLD));
}

// A program that calls borrow_communicator() in every step must not run out of communicators.
TEST(MpiCommunicator, FreesWhatItOwns) {
  if (testing_support::world_rank() != 0) return;  // the others would only take the cores
  for (int i = 0; i < 70000; ++i) MpiCommunicator::duplicate(MPI_COMM_SELF, {});
}

TEST(MpiCheck, NamesTheCallItsErrorAndThePlace) {
  EXPECT_NO_THROW(comm::check(MPI_SUCCESS, "MPI_Send"));
  try {
    comm::check(MPI_ERR_RANK, "MPI_Send");
    ADD_FAILURE() << "nothing thrown";
  } catch (const MpiError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("MPI_Send"), testing::HasSubstr("rank"),
                                             testing::HasSubstr("test_mpi_communicator.cpp:")));
  }
}

}  // namespace
}  // namespace klmesh
