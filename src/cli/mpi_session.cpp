#include "cli/mpi_session.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "comm/mpi_check.hpp"

namespace klmesh::cli {
namespace {

void print(const Failure& failure) noexcept {
  std::fprintf(stderr, "klmesh: %s\n", failure.message.c_str());
  std::fflush(stderr);
}

// What MPI_MINLOC picks the failure to report by: a defect or wrong input is a cause, a lost peer its
// consequence.
int precedence(const std::optional<Failure>& failure) noexcept {
  constexpr int consequence = 1 << 8;
  constexpr int success = 2 << 8;
  if (!failure) return success;
  const int code = static_cast<int>(failure->code);
  return failure->code == ExitCode::communication ? consequence + code : code;
}

// Causes are told before consequences, and low ranks before high ones: ranks that give up together would all
// print.
std::chrono::duration<double> give_up_after(const Failure& failure, int rank,
                                            std::chrono::duration<double> patience) {
  const double turns = failure.code == ExitCode::communication ? 2.0 : 1.0;
  return turns * patience + std::min(rank, 20) * std::chrono::duration<double>(0.25);
}

}  // namespace

int launched_rank() noexcept {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* value = std::getenv(name); value != nullptr) return std::atoi(value);
  }
  return 0;
}

MpiSession::MpiSession(int* argc, char*** argv) {
  int provided = 0;
  comm::check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  comm::check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  comm::check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  comm::check(MPI_Comm_dup(MPI_COMM_WORLD, &exit_group_), "MPI_Comm_dup");
}

MpiSession::~MpiSession() {
  int finalized = 0;
  if (MPI_Finalized(&finalized) != MPI_SUCCESS || finalized != 0) return;
  if (exit_group_ != MPI_COMM_NULL) MPI_Comm_free(&exit_group_);
  // Nothing can be done about a failure here, and all output is already safe.
  MPI_Finalize();
}

int MpiSession::leave(const std::optional<Failure>& failure,
                      std::chrono::duration<double> patience) noexcept {
  struct {
    int precedence;
    int rank;
  } mine{precedence(failure), rank_}, winner{};
  MPI_Request request = MPI_REQUEST_NULL;
  int arrived = 0;
  int status = MPI_Iallreduce(&mine, &winner, 1, MPI_2INT, MPI_MINLOC, exit_group_, &request);
  const auto start = std::chrono::steady_clock::now();
  while (status == MPI_SUCCESS && arrived == 0) {
    status = MPI_Test(&request, &arrived, MPI_STATUS_IGNORE);
    if (arrived != 0) break;
    // A rank that succeeded waits for as long as the others work; each of their waits has its own deadline.
    const auto waited = std::chrono::steady_clock::now() - start;
    if (failure && waited > give_up_after(*failure, rank_, patience)) abort(*failure);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (status != MPI_SUCCESS) {
    abort(failure.value_or(Failure{ExitCode::communication, "ranks could not agree on how to end"}));
  }
  const int code = winner.precedence & 0xff;
  const bool lost_peer = code == static_cast<int>(ExitCode::communication);
  if (winner.rank == rank_ && failure) {
    if (lost_peer) abort(*failure);
    print(*failure);
  }
  // The winner is about to abort the job; a rank that leaves first would hide its code.
  if (lost_peer) std::this_thread::sleep_for(patience + std::chrono::seconds(10));
  return code;
}

void MpiSession::abort(const Failure& failure) noexcept {
  print(failure);
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(failure.code));
  std::_Exit(static_cast<int>(failure.code));  // MPI_Abort does not return, but is not declared so
}

int leave_without_mpi(const Failure& failure) noexcept {
  if (launched_rank() == 0) {
    print(failure);
  } else {
    // The launcher ends the job at the first failure it sees: rank 0 should have spoken by then.
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  return static_cast<int>(failure.code);
}

}  // namespace klmesh::cli
