// The program: reads the command line, runs the subcommand under MPI, turns failures into exit codes.
#include <cstdio>
#include <exception>
#include <optional>
#include <string_view>

#include "cli/config.hpp"
#include "cli/console.hpp"
#include "cli/eval.hpp"
#include "cli/info.hpp"
#include "cli/mpi_session.hpp"
#include "cli/options.hpp"
#include "cli/train.hpp"
#include "io/probe.hpp"

namespace {
using namespace klmesh::cli;

// What needs no MPI. @return the text to print, if that is all there is to do
std::optional<std::string> text_to_print(const Command& command) {
  if (command.subcommand == Subcommand::print_text) return command.text;
  const TrainOptions& train = command.train;
  if (command.subcommand != Subcommand::train || !train.print_config) return std::nullopt;
  return print_config(effective_config(train));
}

int run(const Command& command, const std::optional<Failure>& refusal, MPI_Comm world) {
  if (command.subcommand == Subcommand::info) return run_info(world);
  if (command.subcommand == Subcommand::eval) return run_eval(command.eval, refusal, world);
  return run_train(command.train, world);
}

int run_under_mpi(const Command& command, int argc, char** argv) {
  const bool reads_foreign_file = command.subcommand == Subcommand::eval;
  const std::optional<Failure> refusal = reads_foreign_file ? probe_input(command.eval) : std::nullopt;
  MpiSession session(&argc, &argv);
  std::optional<Failure> failure;
  int code = 0;
  try {
    code = run(command, refusal, session.world());
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
    const Command command = parse_command_line(argc, argv);
    const std::optional<std::string> text = text_to_print(command);
    if (!text) return run_under_mpi(command, argc, argv);
    if (launched_rank() == 0) write_out(stdout, *text);
    return 0;
  } catch (...) {
    return leave_without_mpi(failure_of(std::current_exception()));
  }
}
