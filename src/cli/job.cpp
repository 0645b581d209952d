#include "cli/job.hpp"

#include <filesystem>
#include <utility>

#include "cli/build_identity.hpp"
#include "cli/config.hpp"
#include "cli/config_fields.hpp"
#include "cli/file_identity.hpp"
#include "comm/agreement.hpp"
#include "io/generation.hpp"

namespace klmesh::cli {
namespace {

std::string_view name_of(Subcommand subcommand) {
  switch (subcommand) {
    case Subcommand::train:
      return "train";
    case Subcommand::eval:
      return "eval";
    case Subcommand::info:
      return "info";
    case Subcommand::print_text:
      break;
  }
  return "help";
}

// The newest one that this rank sees: on another node it may be older, or none.
std::string newest_generation(const std::string& run) {
  const std::vector<std::int64_t> all = io::list_generations(run);
  if (all.empty()) return "none";
  const std::filesystem::path path = io::generation_path(run, all.front());
  return path.filename().string() + ", manifest of " + file_identity(path / "MANIFEST");
}

void add_train(Terms& terms, const TrainOptions& options, const loop::TrainConfig& config) {
  for (const Field& field : config_fields()) terms.push_back({std::string(field.key), format_value(field, config)});
  if (options.resume) terms.push_back({"checkpoint generation", newest_generation(*options.resume)});
}

}  // namespace

Job read_job(int argc, const char* const* argv) noexcept {
  Job job;
  try {
    job.command = parse_command_line(argc, argv);
    const TrainOptions& train = job.command.train;
    if (job.command.subcommand == Subcommand::print_text) job.text = job.command.text;
    if (job.command.subcommand != Subcommand::train) return job;
    job.config = effective_config(train);
    if (train.print_config) job.text = print_config(*job.config);
  } catch (...) {
    job.refusal = failure_of(std::current_exception());
  }
  return job;
}

Terms terms_of(const Job& job, const std::string& version) {
  Terms terms{{"library version", version}, {"subcommand", std::string(name_of(job.command.subcommand))}};
  terms.insert(terms.end(), job.command.given.begin(), job.command.given.end());
  if (job.config) add_train(terms, job.command.train, *job.config);
  if (job.command.subcommand == Subcommand::eval) {
    terms.push_back({"the input file", file_identity(job.command.eval.evaluation.path)});
  }
  return terms;
}

void agree_on_job(MPI_Comm world, const Job& job, const CommunicatorOptions& options) {
  const auto all = borrow_communicator(world, options);
  Terms terms;
  const std::exception_ptr failure = klmesh::failure_of([&] {
    if (job.refusal) throw_failure(*job.refusal);
    const OperationLog::Scope operation(options.log, "reading the input");
    terms = terms_of(job, build_identity());
  });
  agree_on(*all, terms, failure);
}

}  // namespace klmesh::cli
