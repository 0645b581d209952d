// The program: reads the command line, runs the subcommand under MPI, turns failures into exit codes.
#include <cstdio>
#include <exception>
#include <optional>
#include <string_view>

#include "cli/console.hpp"
#include "cli/eval.hpp"
#include "cli/info.hpp"
#include "cli/job.hpp"
#include "cli/mpi_session.hpp"
#include "cli/train.hpp"
#include "io/probe.hpp"

namespace {
using namespace klmesh::cli;

int print_on_rank_zero(const std::string& text) {
  if (launched_rank() == 0) write_out(stdout, text);
  return 0;
}

int run(const Job& job, const std::optional<Failure>& bad_input, MPI_Comm world,
        const klmesh::CommunicatorOptions& options) {
  agree_on_job(world, job, options);
  const Command& command = job.command;
  if (job.text) return print_on_rank_zero(*job.text);
  if (command.subcommand == Subcommand::info) return run_info(world, options);
  if (command.subcommand == Subcommand::eval) return run_eval(command.eval, bad_input, world, options);
  return run_train(command.train, *job.config, world, options);
}

double deadline_seconds(const Command& command) {
  return command.subcommand == Subcommand::eval ? command.eval.deadline_seconds : command.train.deadline_seconds;
}

int run_under_mpi(const Job& job, int argc, char** argv) {
  const std::chrono::duration<double> deadline(deadline_seconds(job.command));
  const bool reads_foreign_file = job.command.subcommand == Subcommand::eval && !job.text && !job.refusal;
  const std::optional<Failure> bad_input = reads_foreign_file ? probe_input(job.command.eval) : std::nullopt;
  // Ranks that do not probe wait in the initialisation for the one that does.
  MpiSession session(&argc, &argv, deadline, reads_foreign_file ? probe_patience(job.command.eval) : decltype(deadline){});
  std::optional<Failure> failure;
  int code = 0;
  try {
    code = run(job, bad_input, session.world(), session.communicator_options());
  } catch (...) {
    failure = failure_of(std::current_exception());
  }
  const int agreed = session.leave(failure);
  return agreed != 0 ? agreed : code;
}

// The child that probe_input() starts: this program, with a hidden option.
bool is_probe(int argc, char** argv) {
  return argc == 3 && std::string_view(argv[1]) == klmesh::io::probe_option;
}

}  // namespace

int main(int argc, char** argv) {
  if (is_probe(argc, argv)) return klmesh::io::probe_main(argv[2]);
  try {
    const Job job = read_job(argc, argv);
    // Under a launcher, other ranks may have been given another command: all hear of what is wrong with one.
    if (rank_of_launcher()) return run_under_mpi(job, argc, argv);
    if (job.refusal) return leave_without_mpi(*job.refusal);
    return job.text ? print_on_rank_zero(*job.text) : run_under_mpi(job, argc, argv);
  } catch (...) {
    return leave_without_mpi(failure_of(std::current_exception()));
  }
}
