#include "cli/mpi_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "cli/quiet_thread.hpp"
#include "cli/roll_call.hpp"
#include "comm/mpi_check.hpp"
#include "comm/mpi_wait.hpp"
#include "comm/terms.hpp"

namespace klmesh::cli {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr int kLostPeer = static_cast<int>(ExitCode::communication);

void print(const Failure& failure) noexcept {
  const char* const kind = failure.code == ExitCode::internal ? "internal error: " : "";
  std::fprintf(stderr, "klmesh: %s%s\n", kind, failure.message.c_str());
  std::fflush(stderr);
}

// What MPI_MINLOC picks the failure to report by: a defect or wrong input is a cause, a lost peer its
// consequence.
int precedence(const std::optional<Failure>& failure) noexcept {
  constexpr int consequence = 1 << 8;
  constexpr int success = 2 << 8;
  if (!failure) return success;
  const int code = static_cast<int>(failure->code);
  return code == kLostPeer ? consequence + code : code;
}

// Polling ends first; low ranks before high ones, who would all print. The launcher ends the others.
Seconds grace(int rank) { return Seconds(0.7 + 0.4 * std::min(rank, 3)); }

void end_overdue(const Overdue& overdue) {
  print({ExitCode::communication, fmt::format("rank {}: {}: a peer is lost, stopped or elsewhere", launched_rank(), describe(overdue))});
  std::_Exit(kLostPeer);  // from a thread that may not call MPI
}

Failure not_left(int rank, Seconds waited) {
  return {ExitCode::communication,
          fmt::format("rank {}: leaving the job was not complete after {:.1f} s: a peer is lost, stopped or elsewhere", rank,
                      waited.count())};
}

Failure with_missing(const Failure& failure, const std::vector<int>& missing) {
  if (failure.code != ExitCode::communication || missing.empty()) return failure;
  return {failure.code, fmt::format("{}; no word from {}", failure.message, ranks_text(missing))};
}

}  // namespace

MpiSession::MpiSession(int* argc, char*** argv, Seconds deadline, Seconds late)
    : deadline_(deadline), launcher_watch_([] { std::_Exit(kLostPeer); }) {
  {
    const Watchdog starting(log_, deadline + late + grace(launched_rank()), end_overdue);
    const OperationLog::Scope operation(&log_, "MPI_Init_thread");
    int provided = 0;
    comm::check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  }
  watchdog_.emplace(log_, deadline + grace(launched_rank()), end_overdue);
  comm::check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  comm::check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  comm::check(MPI_Comm_size(MPI_COMM_WORLD, &ranks_), "MPI_Comm_size");
  const OperationLog::Scope operation(&log_, "MPI_Comm_dup");
  comm::check(MPI_Comm_dup(MPI_COMM_WORLD, &exit_group_), "MPI_Comm_dup");
}

MpiSession::~MpiSession() {
  int finalized = 0;
  if (MPI_Finalized(&finalized) != MPI_SUCCESS || finalized != 0) return;
  const OperationLog::Scope operation(&log_, "MPI_Finalize");
  if (exit_group_ != MPI_COMM_NULL) MPI_Comm_free(&exit_group_);
  // Nothing can be done about a failure here, and all output is already safe.
  MPI_Finalize();
}

int MpiSession::leave(std::optional<Failure> failure, Seconds patience) noexcept {
  struct {
    int precedence;
    int rank;
  } mine{precedence(failure), rank_}, winner{};
  patience = std::min(patience, deadline_);
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Iallreduce(&mine, &winner, 1, MPI_2INT, MPI_MINLOC, exit_group_, &request) != MPI_SUCCESS) {
    abort(failure.value_or(Failure{ExitCode::communication, "ranks could not agree on how to end"}));
  }
  // Who fails has nothing left to commit: the launcher's SIGTERM may end it at once.
  if (failure) std::signal(SIGTERM, SIG_DFL);
  wait_for_all(request, failure, patience);
  const int code = winner.precedence & 0xff;
  if (winner.rank == rank_ && failure) {
    if (code == kLostPeer) abort(*failure);
    print(*failure);
  }
  // The winner is about to abort the job; a rank that leaves first would hide its code.
  if (code == kLostPeer) std::this_thread::sleep_for(patience + std::chrono::seconds(10));
  return code;
}

// Returns when all ranks have come; else does not.
void MpiSession::wait_for_all(MPI_Request& request, std::optional<Failure>& failure, Seconds patience) noexcept {
  // Long enough for those who noticed at the same time; who failed for a cause has been waiting already.
  constexpr Seconds consequence_patience{0.3}, before_roll_call{0.05}, for_speaker{6.0};
  const OperationLog::Scope operation(&log_, "leaving the job");
  comm::RunningTime time;
  std::optional<RollCall> roll_call;
  Seconds failed_at{0.0};
  for (;;) {
    int arrived = 0;
    if (MPI_Test(&request, &arrived, MPI_STATUS_IGNORE) != MPI_SUCCESS) {
      abort(failure.value_or(Failure{ExitCode::communication, "ranks could not agree on how to end"}));
    }
    if (arrived != 0) return;
    const Seconds waited = time.elapsed();
    if (!failure && waited >= deadline_) {
      failure = not_left(rank_, waited);
      failed_at = waited;
    }
    if (failure && waited >= failed_at + before_roll_call) {
      if (!roll_call) roll_call.emplace(exit_group_, rank_, ranks_, precedence(failure));
      roll_call->poll();
      const bool lost_peer = failure->code == ExitCode::communication;
      const Seconds speaks_at = failed_at + (lost_peer ? std::min(patience, consequence_patience) : patience);
      const bool my_turn = !roll_call->somebody_goes_before() || waited >= speaks_at + for_speaker;
      if (waited >= speaks_at && my_turn) abort(with_missing(*failure, roll_call->missing()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void MpiSession::abort(const Failure& failure) noexcept {
  const int code = static_cast<int>(failure.code);
  print(failure);
  // MPI_Abort asks the launcher, and either may wait for a host that is cut off.
  if (failure.code == ExitCode::communication) end_launcher_after(std::chrono::seconds(4));
  auto fallback = quiet_thread([code](const std::stop_token&) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    std::_Exit(code);
  });
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);  // MPI_Abort does not return, but is not declared so
}

int leave_without_mpi(const Failure& failure) noexcept {
  print(failure);
  return static_cast<int>(failure.code);
}

}  // namespace klmesh::cli
