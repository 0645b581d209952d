// The program: reads the command line, runs the subcommand under MPI, turns failures into exit codes.
#include <cstdio>
#include <exception>
#include <optional>

#include "cli/config.hpp"
#include "cli/console.hpp"
#include "cli/info.hpp"
#include "cli/mpi_session.hpp"
#include "cli/options.hpp"
#include "cli/train.hpp"

namespace {
using namespace klmesh::cli;

// What needs no MPI. @return the text to print, if that is all there is to do
std::optional<std::string> text_to_print(const Command& command) {
  if (command.subcommand == Subcommand::print_text) return command.text;
  const TrainOptions& train = command.train;
  if (command.subcommand != Subcommand::train || !train.print_config) return std::nullopt;
  return print_config(load_config(train.config_path, process_environment(), train.sets));
}

int run(const Command& command, MPI_Comm world) {
  return command.subcommand == Subcommand::info ? run_info(world) : run_train(command.train, world);
}

int run_under_mpi(const Command& command, int argc, char** argv) {
  MpiSession session(&argc, &argv);
  std::optional<Failure> failure;
  int code = 0;
  try {
    code = run(command, session.world());
  } catch (...) {
    failure = failure_of(std::current_exception());
  }
  const int agreed = session.leave(failure);
  return agreed != 0 ? agreed : code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Command command = parse_command_line(argc, argv);
    const std::optional<std::string> text = text_to_print(command);
    if (!text) return run_under_mpi(command, argc, argv);
    if (launched_rank() == 0) write_out(stdout, *text);
    return 0;
  } catch (...) {
    return leave_without_mpi(failure_of(std::current_exception()));
  }
}
