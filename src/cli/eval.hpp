// `klmesh eval`: exact KL and estimators of logits that somebody dumped.
#pragma once

#include <mpi.h>

#include <chrono>
#include <optional>
#include <string>

#include "cli/eval_aggregate.hpp"
#include "cli/eval_unit.hpp"
#include "cli/exit_code.hpp"
#include "eval/choose_backend.hpp"
#include "eval/report.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::cli {

/// What the command line of `klmesh eval` says.
struct EvalCommand {
  eval::EvalOptions evaluation;          ///< FILE, --quantities, --renyi, scales, --skip-invalid
  std::optional<MeshShape> mesh;         ///< --mesh; default_mesh_shape() if absent
  eval::BackendChoice backend = eval::BackendChoice::automatic;  ///< --backend
  Unit unit = Unit::nats;                ///< --unit
  Aggregate aggregate = Aggregate::token_mean;  ///< --aggregate
  std::optional<std::string> per_token;  ///< --per-token OUT.h5
  std::optional<std::string> json;       ///< --json PATH, "-" is stdout
  double deadline_seconds = 300.0;       ///< of every wait
};

/// Lets a child process open the input first, on the rank that the launcher
/// calls 0: HDF5 may crash on a foreign file. Before MPI_Init, after which a
/// process should not start others.
/// @return what is wrong, for run_eval() to tell all ranks; never throws
std::optional<Failure> probe_input(const EvalCommand& command) noexcept;

/// How long probe_input() may take.
std::chrono::duration<double> probe_patience(const EvalCommand& command) noexcept;

/// Evaluates and writes what was asked for; rank 0 alone prints. Collective
/// over `world`.
/// @param refusal what probe_input() returned
/// @return 0; failures are thrown, on every rank alike
int run_eval(const EvalCommand& command, const std::optional<Failure>& refusal, MPI_Comm world,
             const CommunicatorOptions& options);

}  // namespace klmesh::cli
