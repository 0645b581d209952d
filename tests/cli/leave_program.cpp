// A job whose ranks fail in the way its argument says; leave_test.cpp looks at how it ends.
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "cli/mpi_session.hpp"

using klmesh::cli::ExitCode;
using klmesh::cli::Failure;
using klmesh::cli::MpiSession;

int main(int argc, char** argv) {
  const std::string_view scene = argc > 1 ? argv[1] : "";
  // The last scenes have a rank that stops; the others are not to wait for long.
  const bool stops = scene.starts_with("stopped");
  MpiSession session(&argc, &argv, std::chrono::seconds(stops ? 2 : 60));
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
  if (scene == "stopped in MPI") {
    if (rank == 1) std::raise(SIGSTOP);
    const klmesh::OperationLog::Scope operation(session.communicator_options().log, "MPI_Comm_split", 7);
    MPI_Comm part = MPI_COMM_NULL;
    MPI_Comm_split(session.world(), 0, rank, &part);
  }
  if (scene == "stopped before leaving" && rank == 1) std::raise(SIGSTOP);
  if (scene == "stopped at the end") {
    const int code = session.leave(failure);
    if (rank == 1) std::raise(SIGSTOP);
    return code;
  }
  if (scene == "internal") failure = Failure{ExitCode::internal, "a defect"};
  return session.leave(failure, std::chrono::milliseconds(500));
}
