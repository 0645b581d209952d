// The command line, read before MPI runs so that --help works anywhere.
#pragma once

#include <string>

#include "cli/eval.hpp"
#include "cli/train.hpp"
#include "cli/usage_error.hpp"

namespace klmesh::cli {

enum class Subcommand { print_text, train, eval, info };

struct Command {
  Subcommand subcommand = Subcommand::print_text;
  std::string text;    ///< print_text: help or version
  TrainOptions train;  ///< train
  EvalCommand eval;    ///< eval
};

/// @throws UsageError naming the argument; BackendUnavailable --backend cuda, which this build does not have
Command parse_command_line(int argc, const char* const* argv);

}  // namespace klmesh::cli
