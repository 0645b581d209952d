#include "cli/train.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <optional>

#include "cli/config.hpp"
#include "cli/console.hpp"
#include "cli/progress.hpp"
#include "cli/rank_zero.hpp"
#include "cli/run_directory.hpp"
#include "cli/stop_signal.hpp"
#include "cli/train_console.hpp"
#include "cli/train_summary.hpp"
#include "cli/usage_error.hpp"
#include "klmesh/mpi.hpp"
#include "loop/checkpoint.hpp"
#include "loop/choose_ops.hpp"
#include "loop/training.hpp"

namespace klmesh::cli {
namespace {

std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

io::RunAttributes attributes_of(const loop::TrainConfig& config, MeshShape shape) {
  return {.config_toml = print_config(config, {.comments = false, .paths = false}),
          .mesh = to_string(shape),
          .created_utc = utc_now(),
          .library_version = KLMESH_VERSION};
}

// Told at the start, not by a file that is missing at the end.
void require_step(const loop::LogitsDumpRequest& dump, const loop::TrainConfig& config) {
  const int phase = static_cast<int>(dump.phase);
  const std::int64_t steps = phase < config.loop.first_phase      ? 0
                             : dump.phase == loop::Phase::mle     ? config.mle.steps
                             : dump.phase == loop::Phase::distill ? config.distill.steps
                                                                  : config.rlhf.steps;
  if (dump.step > steps) {
    throw UsageError(fmt::format("--dump-logits {}:{}: phase {} has {} steps in this run", phase, dump.step, phase, steps));
  }
}

std::string run_directory_of(const TrainOptions& options) {
  return options.resume ? *options.resume : make_run_directory(options.run_directory, options.config_path).string();
}

}  // namespace

loop::TrainConfig effective_config(const TrainOptions& options) {
  if (!options.config_path.empty()) return load_config(options.config_path, process_environment(), options.sets);
  const loop::TrainConfig stored = parse_config(loop::stored_config(*options.resume), *options.resume + ": checkpoint");
  return override_config(stored, process_environment(), options.sets);
}

int run_train(const TrainOptions& options, const loop::TrainConfig& config, MPI_Comm world,
              const CommunicatorOptions& communicator_options) {
  const MeshShape shape = options.mesh ? *options.mesh : default_mesh_shape(world, communicator_options);
  Mesh mesh = borrow_mesh(world, shape, communicator_options);
  const std::string config_toml = print_config(config, {.comments = false});
  if (options.dump_logits) require_step(*options.dump_logits, config);
  const std::string run_directory = on_rank_zero(mesh.world(), [&] { return run_directory_of(options); });
  // After what is wrong with the command line is told, whether there are GPUs or not.
  const std::unique_ptr<loop::TensorOps> ops =
      loop::choose_ops(mesh, options.backend, node_placement(world, communicator_options), communicator_options.deadline,
                       communicator_options.log);
  catch_stop_signals();

  const int rank = mesh.world().rank();
  loop::TrainingFiles files{.record = nullptr,
                            .dump_tokens = options.dump_tokens,
                            .replay_tokens = options.replay_tokens,
                            .dump_logits = options.dump_logits,
                            .directory = run_directory,
                            .config_toml = config_toml,
                            .resume = options.resume.has_value(),
                            .stop_requested = stop_signal_arrived};
  std::optional<loop::RunRecord> record;
  TrainConsole console(stdout, config.loop.report_every, progress_style(rank));
  loop::TrainingObserver silent;
  on_rank_zero(mesh.world(), [&] {
    record.emplace(run_directory, attributes_of(config, shape));
    return std::string();
  });
  if (rank == 0) {
    files.record = &*record;
    write_out(stdout, fmt::format("# klmesh {} train {}, mesh {} (batch x vocabulary), backend {}, run directory {}\n",
                                  KLMESH_VERSION, options.resume ? "--resume" : options.config_path, to_string(shape),
                                  ops->name(), run_directory));
  }
  const loop::TrainingSummary summary =
      run_training(*ops, config, files, rank == 0 ? static_cast<loop::TrainingObserver&>(console) : silent);
  if (rank == 0 && summary.stopped) {
    write_out(stdout, fmt::format("# stopped at {}, resume with: klmesh train --resume {}\n",
                                  to_string(summary.stopped->position), run_directory));
  } else if (rank == 0) {
    write_out(stdout, format_summary(summary));
    write_out(stdout, fmt::format("# statistics in {}/statistics.h5\n", run_directory));
  }
  return 0;
}

}  // namespace klmesh::cli
