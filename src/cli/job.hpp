// What a rank knows before MPI runs, and that all ranks know the same.
#pragma once

#include <mpi.h>

#include <optional>
#include <string>

#include "cli/exit_code.hpp"
#include "cli/options.hpp"
#include "comm/terms.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::cli {

struct Job {
  Command command;
  std::optional<loop::TrainConfig> config;  ///< train: the effective one
  std::optional<std::string> text;          ///< all there is to do: print it
  std::optional<Failure> refusal;           ///< why this rank cannot begin
};

/// Reads command line, environment and configuration. Local; never throws, since other ranks must hear of a failure.
Job read_job(int argc, const char* const* argv) noexcept;

/// What must be equal on all ranks, in the order in which a difference is told: version, subcommand, options, then every
/// key of the configuration and the checkpoint to go on from, or what this rank sees of the input file.
/// @param version of this program; tests pass others
/// Cost: reads up to 32 MiB of an input file.
Terms terms_of(const Job& job, const std::string& version);

/// Returns if all ranks have the same job, and can begin it. Collective over `world`; no other data are exchanged.
/// @throws InvalidData naming what differs, its values and the ranks; the refusal of the lowest rank that has one
void agree_on_job(MPI_Comm world, const Job& job, const CommunicatorOptions& options);

}  // namespace klmesh::cli
