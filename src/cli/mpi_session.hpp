// MPI from its initialisation to the process's exit code: who prints, and that all ranks end.
#pragma once

#include <mpi.h>

#include <chrono>
#include <optional>

#include "cli/exit_code.hpp"

namespace klmesh::cli {

/// This process's rank as the launcher (Open MPI, PMIx, Slurm) tells it before MPI runs; 0 without a
/// launcher.
int launched_rank() noexcept;

/// Initialised MPI. Errors on MPI_COMM_WORLD are returned, not fatal. The destructor finalises.
class MpiSession {
 public:
  /// @throws MpiError
  MpiSession(int* argc, char*** argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  MPI_Comm world() const noexcept { return MPI_COMM_WORLD; }
  int rank() const noexcept { return rank_; }

  /// Ends the job: every rank calls it last, with its failure if it has one, and returns from main with the
  /// result.
  ///
  /// If all ranks arrive, one of those that failed prints its message ("klmesh: ..." on stderr), and all
  /// leave through MPI_Finalize with its code. A failed rank waits `patience` for the others, who may be
  /// waiting for it inside an exchange; then it prints and aborts the job with its code. So does a lost
  /// communication, after which MPI_Finalize could hang. A lost peer is the consequence of another rank's
  /// failure, if there is one.
  int leave(const std::optional<Failure>& failure,
            std::chrono::duration<double> patience = std::chrono::seconds(2)) noexcept;

 private:
  [[noreturn]] void abort(const Failure& failure) noexcept;

  MPI_Comm exit_group_ =
      MPI_COMM_NULL;  // a duplicate, so that leaving cannot match the traffic of a failed exchange
  int rank_ = 0;
};

/// Ends a process that never initialised MPI: one of the job's processes prints. @return the exit code
int leave_without_mpi(const Failure& failure) noexcept;

}  // namespace klmesh::cli
