#include "cli/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <sstream>

#include "cli/config.hpp"
#include "cli/info.hpp"

namespace klmesh::cli {
namespace {

// Values as typed; what needs more than CLI11 is read after the parse.
struct RawOptions {
  std::string mesh;
  std::string backend = "auto";
};

template <class T>
CLI::Option* last_wins(CLI::App& app, const char* name, T& value, const char* description) {
  return app.add_option(name, value, description)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

void add_train(CLI::App& app, TrainOptions& options, RawOptions& raw) {
  app.add_option("CONFIG", options.config_path, "TOML file, see the keys below")->required();
  last_wins(app, "--run", options.run_directory, "directory of the run, new or empty [runs/<config>-<UTC>]");
  last_wins(app, "--mesh", raw.mesh,
            "BxV: batch parts x vocabulary parts; the product is the number of ranks");
  last_wins(app, "--backend", raw.backend, "auto, cpu or cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--set", options.sets, "KEY=VALUE, overrides the file and the environment; may be repeated")
      ->allow_extra_args(false);
  last_wins(app, "--deadline", options.deadline_seconds, "seconds after which a wait counts as a hang [300]");
  app.add_flag("--print-config", options.print_config, "print the effective configuration and stop");
  last_wins(app, "--dump-tokens", options.dump_tokens, "write the sampled tokens to FILE");
  last_wins(app, "--replay-tokens", options.replay_tokens, "take the tokens of FILE instead of sampling");
  app.footer(config_help());
}

void finish_train(TrainOptions& options, const RawOptions& raw) {
  if (!raw.mesh.empty()) options.mesh = parse_mesh_shape(raw.mesh);
  if (!std::isfinite(options.deadline_seconds) || options.deadline_seconds <= 0) {
    throw UsageError(
        fmt::format("--deadline must be a positive number of seconds, got {}", options.deadline_seconds));
  }
  if (raw.backend == "cuda") throw BackendUnavailable("--backend cuda: this build has no CUDA back end");
}

}  // namespace

Command parse_command_line(int argc, const char* const* argv) {
  Command command;
  RawOptions raw;
  CLI::App app("Exact KL divergence between language-model logits sharded over a mesh of MPI ranks",
               "klmesh");
  app.set_version_flag("--version", version_text());
  app.require_subcommand(1);
  CLI::App* train = app.add_subcommand("train", "maximum likelihood, reward model, RLHF: the main job");
  add_train(*train, command.train, raw);
  CLI::App* info = app.add_subcommand("info", "build, back ends, hosts and default mesh");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream ignored;
    if (app.exit(error, out, ignored) != 0) throw UsageError(fmt::format("{} (see --help)", error.what()));
    command.text = out.str();
    return command;
  }
  if (info->parsed()) command.subcommand = Subcommand::info;
  if (train->parsed()) {
    finish_train(command.train, raw);
    command.subcommand = Subcommand::train;
  }
  return command;
}

}  // namespace klmesh::cli
