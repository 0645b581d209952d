// A job whose ranks fail in the way its argument says; leave_test.cpp looks at how it ends.
#include <cstdlib>
#include <optional>
#include <string_view>

#include "cli/mpi_session.hpp"

using klmesh::cli::ExitCode;
using klmesh::cli::Failure;
using klmesh::cli::MpiSession;

int main(int argc, char** argv) {
  const std::string_view scene = argc > 1 ? argv[1] : "";
  MpiSession session(&argc, &argv);
  const int rank = session.rank();
  std::optional<Failure> failure;
  if (scene == "agreed") failure = Failure{ExitCode::data, "wrong everywhere"};
  if (scene == "one" && rank == 1) failure = Failure{ExitCode::io, "disk full on rank 1"};
  if (scene == "lost") failure = Failure{ExitCode::communication, "peer lost"};
  if (scene == "cause") {
    failure =
        rank == 2 ? Failure{ExitCode::io, "the cause"} : Failure{ExitCode::communication, "the consequence"};
  }
  if (scene == "local" || scene == "timeouts") {
    if (rank == 0) MPI_Barrier(session.world());  // the others never come
    failure = scene == "local" && rank == 2 ? Failure{ExitCode::io, "the cause"}
                                            : Failure{ExitCode::communication, "the consequence"};
  }
  return session.leave(failure, std::chrono::milliseconds(500));
}
