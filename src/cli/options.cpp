#include "cli/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>
#include <string_view>

#include "cli/config.hpp"
#include "cli/info.hpp"

namespace klmesh::cli {
namespace {

// Values as typed; what needs more than CLI11 is read after the parse.
struct RawOptions {
  std::optional<std::string> mesh;
  std::string backend = "auto";
  std::optional<std::string> dump_logits;
  std::string unit = "nats";
  std::string quantities = "all";
  std::string aggregate = "token-mean";
};

template <class T>
CLI::Option* last_wins(CLI::App& app, const char* name, T& value, const char* description) {
  return app.add_option(name, value, description)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

void add_where(CLI::App& app, RawOptions& raw, double& deadline_seconds) {
  last_wins(app, "--mesh", raw.mesh,
            "BxV: batch parts x vocabulary parts; the product is the number of ranks");
  last_wins(app, "--backend", raw.backend, "auto, cpu or cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  last_wins(app, "--deadline", deadline_seconds, "seconds after which a wait counts as a hang [300]");
}

void add_train(CLI::App& app, TrainOptions& options, RawOptions& raw) {
  app.add_option("CONFIG", options.config_path, "TOML file, see the keys below; not needed with --resume");
  last_wins(app, "--resume", options.resume, "go on from the newest checkpoint of this run directory, on any mesh");
  last_wins(app, "--run", options.run_directory, "directory of the run, new or empty [runs/<config>-<UTC>]");
  add_where(app, raw, options.deadline_seconds);
  app.add_option("--set", options.sets, "KEY=VALUE, overrides the file and the environment; may be repeated")
      ->allow_extra_args(false);
  app.add_flag("--print-config", options.print_config, "print the effective configuration and stop");
  last_wins(app, "--dump-tokens", options.dump_tokens, "write the sampled tokens to FILE");
  last_wins(app, "--replay-tokens", options.replay_tokens, "take the tokens of FILE instead of sampling");
  last_wins(app, "--dump-logits", raw.dump_logits,
            "PHASE:STEP (phase 1, 3 or 4), write the logits of that step to "
            "RUN/logits-<phase>-<step>.h5");
  app.footer(config_help());
}

void add_eval(CLI::App& app, EvalCommand& command, RawOptions& raw) {
  eval::EvalOptions& options = command.evaluation;
  app.add_option("FILE", options.path,
                 "HDF5 file: policy_logits and reference_logits (tokens, "
                 "columns), or logp_policy and logp_reference "
                 "(tokens); optional targets, mask, sequence (tokens) and "
                 "attribute vocab_size")
      ->required();
  add_where(app, raw, command.deadline_seconds);
  last_wins(app, "--unit", raw.unit, "nats or bits [nats]")->check(CLI::IsMember({"nats", "bits"}));
  last_wins(app, "--quantities", raw.quantities,
            "core or all [all]; core leaves out chi_square*, hellinger, "
            "jensen_shannon, total_variation, same_top")
      ->check(CLI::IsMember({"core", "all"}));
  last_wins(app, "--renyi", options.renyi_alpha, "add the Renyi divergence of this order: above 0; 1 is kl_reverse");
  last_wins(app, "--aggregate", raw.aggregate,
            "token-mean, sequence-mean or sequence-sum: mean over sequences of each one's mean or sum, added to every "
            "quantity [token-mean]")
      ->check(CLI::IsMember({"token-mean", "sequence-mean", "sequence-sum"}));
  last_wins(app, "--policy-scale", options.policy_scale,
            "policy logits are multiplied by it: 1/temperature [1]");
  last_wins(app, "--reference-scale", options.reference_scale, "the same for reference logits [1]");
  app.add_flag("--skip-invalid", options.skip_invalid,
               "leave out rows with NaN, +inf or no finite logit (or a NaN "
               "log-probability), and count them, instead of failing");
  last_wins(app, "--per-token", command.per_token, "write every token's values to this HDF5 file");
  last_wins(app, "--json", command.json,
            "write the report as JSON; - is stdout, which then holds nothing else");
}

void finish_where(std::optional<MeshShape>& mesh, double deadline_seconds, const RawOptions& raw) {
  if (raw.mesh) mesh = parse_mesh_shape(*raw.mesh);
  if (!std::isfinite(deadline_seconds) || deadline_seconds <= 0) {
    throw UsageError(
        fmt::format("--deadline must be a positive number of seconds, got {}", deadline_seconds));
  }
}

template <class T>
bool parse_whole(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && at == end;
}

loop::LogitsDumpRequest parse_dump_logits(std::string_view text) {
  loop::LogitsDumpRequest request;
  int phase = 0;
  const std::size_t colon = std::min(text.find(':'), text.size());
  const bool read = colon < text.size() && parse_whole(text.substr(0, colon), phase) &&
                    parse_whole(text.substr(colon + 1), request.step);
  request.phase = static_cast<loop::Phase>(phase);
  const bool has_logits = phase == 1 || phase == 3 || phase == 4;
  if (!read || !has_logits || request.step < 1) {
    throw UsageError(
        fmt::format("--dump-logits wants PHASE:STEP, phase 1, 3 or 4 "
                    "and step from 1 on, such as 3:17; got \"{}\"",
                    text));
  }
  return request;
}

BackendChoice backend_of(const RawOptions& raw) {
  if (raw.backend == "cuda") return BackendChoice::cuda;
  return raw.backend == "cpu" ? BackendChoice::cpu : BackendChoice::automatic;
}

void finish_train(TrainOptions& options, const RawOptions& raw) {
  if (options.config_path.empty() && !options.resume) throw UsageError("CONFIG is required");
  if (options.resume && options.run_directory) {
    throw UsageError("--run and --resume exclude each other: a resumed run goes on in its own directory");
  }
  finish_where(options.mesh, options.deadline_seconds, raw);
  options.backend = backend_of(raw);
  if (raw.dump_logits) options.dump_logits = parse_dump_logits(*raw.dump_logits);
}

void require_scale(const char* option, double scale) {
  if (!std::isfinite(scale) || scale <= 0) {
    throw UsageError(fmt::format("{} must be finite and above 0, got {}", option, scale));
  }
}

void finish_eval(EvalCommand& command, const RawOptions& raw) {
  finish_where(command.mesh, command.deadline_seconds, raw);
  command.backend = backend_of(raw);
  command.unit = raw.unit == "bits" ? Unit::bits : Unit::nats;
  command.evaluation.quantities = raw.quantities == "core" ? QuantitySet::core : QuantitySet::all;
  command.aggregate = raw.aggregate == "sequence-mean"  ? Aggregate::sequence_mean
                      : raw.aggregate == "sequence-sum" ? Aggregate::sequence_sum
                                                        : Aggregate::token_mean;
  if (command.evaluation.renyi_alpha && !is_renyi_order(*command.evaluation.renyi_alpha)) {
    throw UsageError(fmt::format("--renyi must be finite and above 0, and 1 or at least 1e-6 away from it, got {}",
                                 *command.evaluation.renyi_alpha));
  }
  require_scale("--policy-scale", command.evaluation.policy_scale);
  require_scale("--reference-scale", command.evaluation.reference_scale);
}

// What is compared otherwise: files by their contents, settings by what comes out of them. Deadlines may differ.
bool is_compared_as_typed(const CLI::Option& option) {
  const std::string name = option.get_name();
  return option.count() > 0 && !option.get_positional() && name != "--set" && name != "--deadline";
}

Terms given_options(const CLI::App& subcommand) {
  Terms given;
  for (const CLI::Option* option : subcommand.get_options()) {
    if (!is_compared_as_typed(*option)) continue;
    given.push_back({option->get_name(), fmt::format("{}", fmt::join(option->results(), " "))});
  }
  return given;
}

}  // namespace

Command parse_command_line(int argc, const char* const* argv) {
  Command command;
  RawOptions raw;
  CLI::App app(
      "Exact KL divergence between language-model logits sharded over "
      "a mesh of MPI ranks",
      "klmesh");
  app.set_version_flag("--version", version_text());
  app.require_subcommand(1);
  CLI::App* train = app.add_subcommand("train", "maximum likelihood, reward model, RLHF: the main job");
  add_train(*train, command.train, raw);
  CLI::App* eval = app.add_subcommand("eval", "exact KL and its estimators of logits in a file");
  add_eval(*eval, command.eval, raw);
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
    command.given = given_options(*train);
    command.subcommand = Subcommand::train;
  }
  if (eval->parsed()) {
    finish_eval(command.eval, raw);
    command.given = given_options(*eval);
    command.subcommand = Subcommand::eval;
  }
  return command;
}

}  // namespace klmesh::cli
