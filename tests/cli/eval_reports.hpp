// Reports made by hand, with numbers that tell which field they came from.
#pragma once

#include <cmath>

#include "eval/report.hpp"

namespace klmesh::cli::test {

/// Every field another number: base + 0.01, + 0.02 and so on.
inline QuantityStatistics statistics(double base, std::int64_t count = 4) {
  return {.count = count,
          .infinite = 0,
          .negative = 1,
          .sum = base + 0.01,
          .mean = base + 0.02,
          .min = base + 0.03,
          .max = base + 0.04,
          .mean_square = base + 0.05,
          .variance = base + 0.06,
          .standard_deviation = base + 0.07,
          .standard_error = base + 0.08,
          .standard_error_clustered = base + 0.09,
          .sequence_mean = base + 0.11,
          .sequence_sum = base + 0.12};
}

inline eval::QuantityReport quantity(double base, bool quantiles, std::int64_t argmax_row = 7) {
  eval::QuantityReport report;
  report.statistics = statistics(base);
  report.argmax_row = argmax_row;
  if (quantiles) report.quantiles = {base + 0.1, base + 0.2, base + 0.3, base + 0.4, base + 0.5, base + 0.6};
  return report;
}

/// Quantity q has base q + 1; k_lambda base 30, its bias 40.
inline eval::EvalReport full_report() {
  eval::EvalReport report;
  report.mesh = {.batch = 2, .vocab = 3};
  report.reproducible = false;
  report.tokens = 4;
  report.masked_tokens = 2;
  report.invalid_rows = 1;
  report.vocab_size = 50;
  report.has_exact = report.has_extended = report.has_estimators = true;
  for (int q = 0; q < kQuantities; ++q)
    report.quantities[static_cast<std::size_t>(q)] = quantity(q + 1, q < 2 || (q > 5 && q < 11));
  report[Quantity::same_top].statistics.mean = 0.75;
  report[Quantity::delta_p].statistics.mean_square = 0.25;
  report.k_lambda = eval::KLambdaReport{.lambda = 0.5, .value = quantity(30, true), .bias = statistics(40)};
  return report;
}

/// The full report, and renyi (base 23) of this order.
inline eval::EvalReport report_with_renyi(double alpha) {
  eval::EvalReport report = full_report();
  report.renyi_alpha = alpha;
  return report;
}

/// Without the quantities that `has` says are not there.
inline eval::EvalReport without_missing(eval::EvalReport report) {
  for (int q = 0; q < kQuantities; ++q) {
    if (!report.has(static_cast<Quantity>(q))) report.quantities[static_cast<std::size_t>(q)] = {};
  }
  return report;
}

inline eval::EvalReport core_report() {
  eval::EvalReport report = full_report();
  report.has_extended = false;
  return without_missing(report);
}

inline eval::EvalReport report_without_targets() {
  eval::EvalReport report = full_report();
  report.has_estimators = false;
  report.k_lambda.reset();
  return without_missing(report);
}

inline eval::EvalReport report_of_logp() {
  eval::EvalReport report = full_report();
  report.has_exact = report.has_extended = false;
  report.vocab_size.reset();
  report.k_lambda->bias.reset();
  return without_missing(report);
}

}  // namespace klmesh::cli::test
