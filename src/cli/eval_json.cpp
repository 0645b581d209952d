#include "cli/eval_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/eval_quantities.hpp"
#include "cli/json_text.hpp"

namespace klmesh::cli {
namespace {

using eval::EvalReport;
using eval::QuantityReport;
using Json = nlohmann::ordered_json;

constexpr std::array with_overflowed_rows{Quantity::k3, Quantity::chi_square,
                                          Quantity::chi_square_reference_policy};

Json number(double value) {
  if (std::isnan(value)) return nullptr;
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

// How values are written: what they are divided by, and what beside the token-mean is asked for.
struct Style {
  double divisor;
  Aggregate aggregate;
};

Json statistics_json(const QuantityReport& report, const Style& style) {
  const QuantityStatistics& s = report.statistics;
  Json json;
  json["mean"] = number(s.mean / style.divisor);
  json["sum"] = number(s.sum / style.divisor);
  json["min"] = number(s.min / style.divisor);
  json["max"] = number(s.max / style.divisor);
  json["stddev"] = number(s.standard_deviation / style.divisor);
  json["stderr"] = number(s.standard_error / style.divisor);
  json["stderr_clustered"] = number(s.standard_error_clustered / style.divisor);
  json["argmax_row"] = report.argmax_row < 0 ? Json(nullptr) : Json(report.argmax_row);
  if (style.aggregate != Aggregate::token_mean) {
    json[std::string(field_of(style.aggregate))] = number(value_of(s, style.aggregate) / style.divisor);
  }
  return json;
}

Json quantiles_json(const QuantityReport& report, double divisor) {
  Json json;
  for (std::size_t i = 0; i < eval::kQuantiles.size(); ++i) {
    json[fmt::format("{}", eval::kQuantiles[i])] =
        report.quantiles ? number((*report.quantiles)[i] / divisor) : Json(nullptr);
  }
  return json;
}

Json with_quantiles(const QuantityReport& report, const Style& style) {
  Json json = statistics_json(report, style);
  json["quantiles"] = quantiles_json(report, style.divisor);
  return json;
}

// An estimator of the KL. `bias` null: there is no exact value to compare with.
Json estimator_json(const QuantityReport& report, const QuantityStatistics* bias, double variance_k1,
                    const Style& style) {
  const QuantityStatistics unknown;
  const QuantityStatistics& b = bias != nullptr ? *bias : unknown;
  const QuantityStatistics& s = report.statistics;
  Json json = with_quantiles(report, style);
  json["bias"] = number(b.mean / style.divisor);
  json["bias_stderr"] = number(b.standard_error / style.divisor);
  json["bias_stderr_clustered"] = number(b.standard_error_clustered / style.divisor);
  json["negative_fraction"] = number(static_cast<double>(s.negative) / static_cast<double>(s.count));
  json["variance_ratio_k1"] = number(s.variance / variance_k1);
  return json;
}

Json infinite_rows_json(const EvalReport& report) {
  Json json;
  const auto add = [&](Quantity q) {
    if (!is_named(report, q)) return;
    json[std::string(name(q))] = report.has(q) ? Json(report[q].infinite_rows) : Json(nullptr);
  };
  std::ranges::for_each(exact_quantities, add);
  std::ranges::for_each(sampled_quantities, add);
  json["k_lambda"] = report.k_lambda ? Json(report.k_lambda->value.infinite_rows) : Json(nullptr);
  return json;
}

Json overflowed_rows_json(const EvalReport& report) {
  Json json;
  for (const Quantity q : with_overflowed_rows) {
    json[std::string(name(q))] = report.has(q) ? Json(report[q].overflowed_rows) : Json(nullptr);
  }
  return json;
}

Json exact_json(const EvalReport& report, Unit unit, Aggregate aggregate) {
  if (!report.has_exact) return nullptr;
  Json json;
  for (const Quantity q : exact_quantities) {
    if (!is_named(report, q)) continue;
    const Style style{divisor(q, unit), aggregate};
    Json& entry = json[std::string(name(q))];
    if (!report.has(q)) {
      entry = nullptr;
    } else {
      entry = eval::has_quantiles(q) ? with_quantiles(report[q], style) : statistics_json(report[q], style);
    }
    if (q == Quantity::renyi) entry["alpha"] = *report.renyi_alpha;
  }
  return json;
}

Json same_top_json(const EvalReport& report) {
  if (!report.has(Quantity::same_top)) return nullptr;
  const double p = report[Quantity::same_top].statistics.mean;
  Json json;
  json["mean"] = number(p);
  json["stderr"] = number(std::sqrt(p * (1 - p) / static_cast<double>(report.tokens)));
  return json;
}

Json k_lambda_json(const EvalReport& report, const Style& style) {
  const eval::KLambdaReport k_lambda = report.k_lambda.value_or(eval::KLambdaReport{});
  Json json = estimator_json(k_lambda.value, k_lambda.bias ? &*k_lambda.bias : nullptr,
                             report[Quantity::k1].statistics.variance, style);
  json["lambda"] = number(k_lambda.lambda);
  return json;
}

Json estimators_json(const EvalReport& report, Unit unit, Aggregate aggregate) {
  if (!report.has_estimators) return nullptr;
  Json json;
  for (const Quantity q : {Quantity::logp_policy, Quantity::logp_reference}) {
    json[std::string(name(q))] = with_quantiles(report[q], {divisor(q, unit), aggregate});
  }
  for (const auto& [q, bias] : {std::pair(Quantity::k1, Quantity::k1_bias),
                                {Quantity::k2, Quantity::k2_bias},
                                {Quantity::k3, Quantity::k3_bias}}) {
    json[std::string(name(q))] =
        estimator_json(report[q], report.has_exact ? &report[bias].statistics : nullptr,
                       report[Quantity::k1].statistics.variance, {divisor(q, unit), aggregate});
  }
  json["k_lambda"] = k_lambda_json(report, {divisor(Quantity::k1, unit), aggregate});
  return json;
}

}  // namespace

std::string eval_json(const EvalReport& report, Unit unit, Aggregate aggregate) {
  const QuantityStatistics delta_p =
      report.has_estimators ? report[Quantity::delta_p].statistics : QuantityStatistics{};
  Json json;
  json["schema"] = "klmesh.eval/1";
  json["unit"] = std::string(name(unit));
  json["tokens"] = report.tokens;
  json["masked_tokens"] = report.masked_tokens;
  json["invalid_rows"] = report.invalid_rows;
  json["vocab_size"] = report.vocab_size ? Json(*report.vocab_size) : Json(nullptr);
  json["mesh"] = {{"batch", report.mesh.batch}, {"vocab", report.mesh.vocab}};
  json["backend"] = report.backend;
  json["reproducible"] = report.reproducible;
  json["infinite_rows"] = infinite_rows_json(report);
  json["overflowed_rows"] = overflowed_rows_json(report);
  json["exact"] = exact_json(report, unit, aggregate);
  json["same_top"] = same_top_json(report);
  json["rms_delta_p"] = number(std::sqrt(delta_p.mean_square));
  json["mean_delta_p"] = number(delta_p.mean);
  json["estimators"] = estimators_json(report, unit, aggregate);
  return json_text(json);
}

}  // namespace klmesh::cli
