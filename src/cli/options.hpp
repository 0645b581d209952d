// The command line, read before MPI runs so that --help works anywhere.
#pragma once

#include <string>

#include "cli/eval.hpp"
#include "cli/train.hpp"
#include "cli/usage_error.hpp"
#include "comm/terms.hpp"

namespace klmesh::cli {

enum class Subcommand { print_text, train, eval, info };

struct Command {
  Subcommand subcommand = Subcommand::print_text;
  std::string text;    ///< print_text: help or version
  TrainOptions train;  ///< train
  EvalCommand eval;    ///< eval
  Terms given;         ///< options as typed, but for those that ranks need not have in common, or have otherwise
};

/// @throws UsageError naming the argument; BackendUnavailable train --backend cuda
Command parse_command_line(int argc, const char* const* argv);

}  // namespace klmesh::cli
