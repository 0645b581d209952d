// The flow of an evaluation: inputs, one pass over the logits, then statistics quantity by quantity.
#include "eval/evaluate_file.hpp"

#include <fmt/format.h>

#include <cmath>

#include "comm/agreement.hpp"
#include "eval/control_variate.hpp"
#include "eval/eval_inputs.hpp"
#include "eval/invalid_rows.hpp"
#include "eval/logits_pass.hpp"
#include "eval/logp_pass.hpp"
#include "eval/order_statistics.hpp"
#include "klmesh/error.hpp"

namespace klmesh::eval {
namespace {

// All ranks open the file, or none goes on. What they see of it must be the same file.
io::LogitsFile open_on_all(Mesh& mesh, const std::string& path) {
  std::optional<io::LogitsFile> file;
  const std::exception_ptr failure = failure_of([&] { file.emplace(io::LogitsFile::open(path)); });
  Fingerprint f;
  if (file) f.add(file->rows()).add(file->vocab_size()).add(file->has_logits()).add(file->has_targets());
  agree(mesh.world(), "opening the file", f.value(), failure);
  return std::move(*file);
}

// Exact statistics of one column of the table, over all ranks.
QuantityStatistics reduce(std::span<const double> values, const TokenTable& table, Communicator& world) {
  QuantitySums sums(table.sequence_count);
  for (std::size_t i = 0; i < values.size(); ++i) sums.add(values[i], table.sequences[i]);
  world.all_reduce(sums.sums(), sums.maxima());
  return sums.statistics();
}

// Infinite although every support is there: the value does not fit a double.
bool overflowed(Quantity q, const TokenTable& table, std::size_t i) {
  switch (q) {
    case Quantity::chi_square: return std::isinf(table[q][i]) && (table.flags[i] & kKlReverseInfinite) == 0;
    case Quantity::chi_square_reference_policy:
      return std::isinf(table[q][i]) && (table.flags[i] & kKlForwardInfinite) == 0;
    case Quantity::k3: return std::isinf(table[q][i]) && std::isfinite(table[Quantity::k1][i]);
    default: return false;
  }
}

QuantityReport report_of(std::span<const double> values, bool with_quantiles, const TokenTable& table,
                         Communicator& world) {
  QuantityReport report;
  report.statistics = reduce(values, table, world);
  report.infinite_rows = report.statistics.infinite;
  if (report.statistics.count == 0) return report;
  report.argmax_row = first_row_of(values, table.rows, report.statistics.max, world);
  if (with_quantiles) report.quantiles = quantiles(values, report.statistics.count, world);
  return report;
}

QuantityReport report_of(Quantity q, const TokenTable& table, Communicator& world) {
  QuantityReport report = report_of(table[q], has_quantiles(q), table, world);
  std::vector<std::int64_t> overflows{0};
  for (std::size_t i = 0; i < table[q].size(); ++i) overflows[0] += overflowed(q, table, i) ? 1 : 0;
  world.all_reduce(overflows, {});
  report.overflowed_rows = overflows[0];
  report.infinite_rows -= overflows[0];
  return report;
}

std::optional<KLambdaReport> report_k_lambda(TokenTable& table, bool has_exact, Communicator& world) {
  const std::optional<double> lambda = fit_lambda(table, world);
  if (!lambda) return std::nullopt;
  apply_lambda(table, *lambda);
  KLambdaReport report;
  report.lambda = *lambda;
  report.value = report_of(table.k_lambda, true, table, world);
  if (has_exact) {
    std::vector<double> bias(table.k_lambda);
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] -= table[Quantity::kl_reverse][i];
    report.bias = reduce(bias, table, world);
  }
  return report;
}

void count_rows(const TokenTable& table, Communicator& world, EvalReport& report) {
  std::vector<std::int64_t> counts{static_cast<std::int64_t>(table.size()), table.masked, table.invalid};
  world.all_reduce(counts, {});
  report.tokens = counts[0];
  report.masked_tokens = counts[1];
  report.invalid_rows = counts[2];
}

}  // namespace

Evaluation evaluate_file(Mesh& mesh, const EvalOptions& options, const EvalBackend& backend) {
  const io::LogitsFile file = open_on_all(mesh, options.path);
  const EvalInputs inputs = read_inputs(mesh, file);

  Evaluation evaluation;
  EvalReport& report = evaluation.report;
  TokenTable& table = evaluation.tokens;
  report.mesh = mesh.shape();
  report.has_exact = file.has_logits();
  report.has_extended = file.has_logits() && options.quantities == QuantitySet::all;
  report.renyi_alpha = options.renyi_alpha;
  report.has_estimators = file.has_targets() || file.has_logp();
  if (file.has_logits()) {
    report.vocab_size = file.vocab_size();
    report.backend = backend.name;
    const auto evaluator = backend.make_evaluator(mesh, file.vocab_size());
    report.reproducible = evaluator->engine().reproducible();
    table = pass_over_logits(mesh, *evaluator, file, inputs, options, report);
  } else {
    table = pass_over_logp(mesh, file, inputs, options.skip_invalid);
  }
  table.file_rows = file.rows();
  table.sequence_count = inputs.sequence_count;

  throw_if_invalid(mesh, file, table);
  count_rows(table, mesh.world(), report);
  if (report.tokens == 0) {
    throw InvalidData(fmt::format("{}: no token is counted: {} rows, {} masked, {} invalid", file.path(), file.rows(),
                                  report.masked_tokens, report.invalid_rows));
  }
  for (int i = 0; i < kQuantities; ++i) {
    const auto q = static_cast<Quantity>(i);
    if (report.has(q)) report[q] = report_of(q, table, mesh.world());
  }
  if (report.has_estimators) report.k_lambda = report_k_lambda(table, report.has_exact, mesh.world());
  return evaluation;
}

}  // namespace klmesh::eval
