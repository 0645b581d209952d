// `klmesh train`: the job itself, once the command line is read and MPI runs.
#pragma once

#include <mpi.h>

#include <optional>
#include <string>
#include <vector>

#include "engine/backend_choice.hpp"
#include "klmesh/mpi.hpp"
#include "loop/train_config.hpp"
#include "loop/logits_dump.hpp"

namespace klmesh::cli {

/// What the command line of `klmesh train` says.
struct TrainOptions {
  std::string config_path;                    ///< empty with --resume alone
  std::optional<std::string> resume;          ///< --resume DIR: go on from its newest checkpoint
  std::optional<std::string> run_directory;  ///< --run; default runs/<config>-<UTC>
  std::optional<MeshShape> mesh;             ///< --mesh; default_mesh_shape() if absent
  BackendChoice backend = BackendChoice::automatic;  ///< --backend
  std::vector<std::string> sets;             ///< --set, "key=value" each, in order
  double deadline_seconds = 300.0;           ///< of every wait
  bool print_config = false;                 ///< print the effective configuration and stop
  std::optional<std::string> dump_tokens;    ///< --dump-tokens FILE
  std::optional<std::string> replay_tokens;  ///< --replay-tokens FILE
  std::optional<loop::LogitsDumpRequest> dump_logits;  ///< --dump-logits PHASE:STEP
};

/// The effective configuration: of the file, or with --resume alone the one the checkpoint was written with; then the
/// environment and --set. Local. @throws as load_config(); InputNotFound, InvalidData for a checkpoint
loop::TrainConfig effective_config(const TrainOptions& options);

/// Runs the job. Collective over `world`.
/// @param config what effective_config() gave, on all ranks the same
/// @return the exit code of a job that did not fail; failures are thrown
int run_train(const TrainOptions& options, const loop::TrainConfig& config, MPI_Comm world,
              const CommunicatorOptions& communicator_options);

}  // namespace klmesh::cli
