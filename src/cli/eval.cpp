#include "cli/eval.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "cli/console.hpp"
#include "cli/eval_json.hpp"
#include "cli/eval_table.hpp"
#include "cli/info.hpp"
#include "cli/launcher.hpp"
#include "cli/output_file.hpp"
#include "cli/rank_zero.hpp"
#include "cli/usage_error.hpp"
#include "eval/evaluate_file.hpp"
#include "io/probe.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::cli {
namespace {

// A look at a few chunks: long enough for a busy file server, short enough to
// be worth waiting for.
constexpr double shortest_probe_seconds = 10.0, longest_probe_seconds = 60.0;

bool json_to_stdout(const EvalCommand& command) { return command.json == "-"; }

bool same_file(const std::string& a, const std::string& b) {
  std::error_code ignored;  // one of them is not there: then they are the same only by name
  return a == b || std::filesystem::equivalent(a, b, ignored);
}

// Nothing is overwritten that is still needed.
void require_outputs(const EvalCommand& command) {
  const std::string& input = command.evaluation.path;
  if (command.per_token) {
    if (same_file(*command.per_token, input))
      throw UsageError(fmt::format("--per-token {}: is the input", input));
    require_replaceable(*command.per_token);
  }
  if (!command.json || json_to_stdout(command)) return;
  if (same_file(*command.json, input)) throw UsageError(fmt::format("--json {}: is the input", input));
  if (command.per_token && same_file(*command.json, *command.per_token)) {
    throw UsageError(fmt::format("--json {}: is the file of --per-token, too", *command.json));
  }
  require_writable(*command.json);
}

void write_report(const EvalCommand& command, const eval::EvalReport& report) {
  const std::string json = command.json ? eval_json(report, command.unit, command.aggregate) : std::string();
  if (json_to_stdout(command)) return write_out(stdout, json);
  if (command.json) write_output(*command.json, json);
  write_out(stdout, fmt::format("# {} eval {}, mesh {} (batch x vocabulary), backend {}\n", version_text(),
                                command.evaluation.path, to_string(report.mesh), report.backend));
  print_eval_table(stdout, report, command.unit, command.aggregate);
}

}  // namespace

std::chrono::duration<double> probe_patience(const EvalCommand& command) noexcept {
  return std::chrono::duration<double>(std::clamp(command.deadline_seconds, shortest_probe_seconds, longest_probe_seconds));
}

std::optional<Failure> probe_input(const EvalCommand& command) noexcept {
  if (launched_rank() != 0) return std::nullopt;
  try {
    io::probe_in_child("/proc/self/exe", command.evaluation.path,
                       std::chrono::duration_cast<std::chrono::milliseconds>(probe_patience(command)));
    return std::nullopt;
  } catch (...) {
    return failure_of(std::current_exception());
  }
}

int run_eval(const EvalCommand& command, const std::optional<Failure>& refusal, MPI_Comm world,
             const CommunicatorOptions& options) {
  const MeshShape shape = command.mesh ? *command.mesh : default_mesh_shape(world, options);
  Mesh mesh = borrow_mesh(world, shape, options);
  on_rank_zero(mesh.world(), [&] {
    if (refusal) throw_failure(*refusal);
    require_outputs(command);
    return std::string();
  });
  const eval::EvalBackend backend =
      eval::choose_backend(mesh, command.backend, node_placement(world, options), options.deadline, options.log);
  const eval::Evaluation evaluation = eval::evaluate_file(mesh, command.evaluation, backend);
  if (command.per_token) write_per_token(mesh, evaluation, command.unit == Unit::bits, *command.per_token);
  on_rank_zero(mesh.world(), [&] {
    write_report(command, evaluation.report);
    return std::string();
  });
  return 0;
}

}  // namespace klmesh::cli
