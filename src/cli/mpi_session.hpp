// MPI from its initialisation to the process's exit code: who prints, and that all ranks end.
#pragma once

#include <mpi.h>

#include <chrono>
#include <optional>

#include "cli/exit_code.hpp"
#include "cli/launcher.hpp"
#include "cli/watchdog.hpp"
#include "klmesh/mpi.hpp"
#include "klmesh/operation_log.hpp"

namespace klmesh::cli {

/// Initialised MPI, watched: a call that blocks past the deadline, and the death of the launcher, end this process with
/// code 75, from where the launcher ends the job. Errors on MPI_COMM_WORLD are returned, not fatal. The destructor
/// finalises.
class MpiSession {
 public:
  /// @param deadline of every wait, initialisation and finalisation included
  /// @param late     how much later than this one another rank may rightly begin
  /// @throws MpiError
  MpiSession(int* argc, char*** argv, std::chrono::duration<double> deadline = CommunicatorOptions{}.deadline,
             std::chrono::duration<double> late = std::chrono::seconds(0));
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  MPI_Comm world() const noexcept { return MPI_COMM_WORLD; }
  int rank() const noexcept { return rank_; }

  /// For all communicators of the job: their waits are watched, too.
  CommunicatorOptions communicator_options() noexcept { return {.deadline = deadline_, .log = &log_}; }

  /// Ends the job: every rank calls it last, with its failure if it has one, and returns from main with the
  /// result.
  ///
  /// If all ranks arrive, one of those that failed prints its message ("klmesh: ..." on stderr), and all
  /// leave through MPI_Finalize with its code. A failed rank waits `patience` for the others, who may be
  /// waiting for it inside an exchange; then it prints and aborts the job with its code. So does a lost
  /// communication, sooner, and says which ranks have not been heard: MPI_Finalize could hang. A lost peer is the
  /// consequence of another rank's failure, if there is one. A rank that succeeded waits for the deadline.
  int leave(std::optional<Failure> failure,
            std::chrono::duration<double> patience = std::chrono::seconds(2)) noexcept;

 private:
  void wait_for_all(MPI_Request& request, std::optional<Failure>& failure, std::chrono::duration<double> patience) noexcept;
  [[noreturn]] void abort(const Failure& failure) noexcept;

  std::chrono::duration<double> deadline_;
  OperationLog log_;
  MPI_Comm exit_group_ =
      MPI_COMM_NULL;  // a duplicate, so that leaving cannot match the traffic of a failed exchange
  int rank_ = 0;
  int ranks_ = 1;
  LauncherWatch launcher_watch_;
  std::optional<Watchdog> watchdog_;
};

/// Ends a process that never initialised MPI and need not tell others: prints. @return the exit code
int leave_without_mpi(const Failure& failure) noexcept;

}  // namespace klmesh::cli
