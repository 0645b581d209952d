#include "cli/eval_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "cli/console.hpp"

namespace klmesh::cli {
namespace {

using eval::EvalReport;
using eval::QuantityReport;

constexpr std::array shown{Quantity::kl_reverse,
                           Quantity::kl_forward,
                           Quantity::entropy_policy,
                           Quantity::entropy_reference,
                           Quantity::cross_entropy_policy_reference,
                           Quantity::cross_entropy_reference_policy,
                           Quantity::chi_square,
                           Quantity::chi_square_reference_policy,
                           Quantity::hellinger,
                           Quantity::jensen_shannon,
                           Quantity::total_variation,
                           Quantity::same_top,
                           Quantity::delta_p,
                           Quantity::logp_policy,
                           Quantity::logp_reference,
                           Quantity::k1,
                           Quantity::k2,
                           Quantity::k3};
constexpr std::size_t median = 2;
static_assert(eval::kQuantiles[median] == 0.5);

Cell cell(double value) { return std::isnan(value) ? Cell{std::string("-")} : Cell{value}; }

Column words(std::string name, int width) {
  return {.name = std::move(name), .unit = "", .significant = 6, .width = width};
}
Column number(std::string name, int significant = 6, int width = 12) {
  return {.name = std::move(name), .unit = "", .significant = significant, .width = width};
}

// Which error the table quotes: by sequence where there are sequences.
bool errors_are_clustered(const EvalReport& report) {
  return std::ranges::any_of(shown, [&](Quantity q) {
    return report.has(q) && !std::isnan(report[q].statistics.standard_error_clustered);
  });
}

class EvalTable {
 public:
  EvalTable(std::FILE* out, const EvalReport& report, Unit unit)
      : out_(out), report_(report), unit_(unit), clustered_(errors_are_clustered(report)) {}

  void counts() const {
    std::string text = fmt::format("# tokens {}, masked {}, invalid {}", report_.tokens,
                                   report_.masked_tokens, report_.invalid_rows);
    if (report_.vocab_size) text += fmt::format(", vocabulary {}", *report_.vocab_size);
    if (!report_.reproducible) text += "; other meshes may differ in the last bits";
    write_out(out_, text + "\n");
    rows_that("infinite", &QuantityReport::infinite_rows);
    rows_that("overflowed", &QuantityReport::overflowed_rows);
    write_out(out_, clustered_ ? "# +-: standard error, clustered by sequence\n"
                               : "# +-: standard error, as if tokens were independent\n");
  }

  void quantities() const {
    Table table(out_,
                {words("quantity", 30), words("unit", 4), number("mean", 8, 14), number("+-", 3, 9),
                 number("stddev"), number("min"), number("median"), number("max"), words("max_row", 8)});
    table.header();
    for (const Quantity q : shown) {
      if (report_.has(q))
        quantity_row(table, std::string(name(q)), has_unit(q), report_[q], divisor(q, unit_));
    }
    if (report_.k_lambda) {
      quantity_row(table, "k_lambda", true, report_.k_lambda->value, divisor(Quantity::k1, unit_));
    }
  }

  void estimators() const {
    if (!report_.has_estimators) return;
    write_out(out_, fmt::format("#\n# policy(y) - reference(y): root mean square {:.6g}\n",
                                std::sqrt(report_[Quantity::delta_p].statistics.mean_square)));
    write_out(out_,
              "# bias: mean of estimator - kl_reverse, where targets "
              "were sampled from the policy\n");
    const std::string unit(name(unit_));
    Table table(out_, {words("estimator", 30),
                       {.name = "bias", .unit = unit, .significant = 6, .width = 14},
                       {.name = "+-", .unit = unit, .significant = 3, .width = 9},
                       number("negative"),
                       number("var/var_k1")});
    table.header();
    for (const auto& [q, bias] : {std::pair(Quantity::k1, Quantity::k1_bias),
                                  {Quantity::k2, Quantity::k2_bias},
                                  {Quantity::k3, Quantity::k3_bias}}) {
      estimator_row(table, std::string(name(q)), report_[q].statistics,
                    report_.has_exact ? report_[bias].statistics : QuantityStatistics{});
    }
    if (!report_.k_lambda) return;
    estimator_row(table, "k_lambda", report_.k_lambda->value.statistics,
                  report_.k_lambda->bias.value_or(QuantityStatistics{}));
    write_out(out_,
              fmt::format("# k_lambda: lambda {:.6g}, fitted on these tokens\n", report_.k_lambda->lambda));
  }

 private:
  double error_of(const QuantityStatistics& s) const {
    return clustered_ ? s.standard_error_clustered : s.standard_error;
  }

  // Only those there are: an infinite mean needs a word, a finite one does not.
  void rows_that(std::string_view what, std::int64_t QuantityReport::*rows) const {
    std::string text;
    for (const Quantity q : shown) {
      if (report_.has(q) && report_[q].*rows > 0) text += fmt::format(" {} {}", name(q), report_[q].*rows);
    }
    if (!text.empty()) write_out(out_, fmt::format("# {} rows:{}\n", what, text));
  }

  void quantity_row(Table& table, std::string label, bool with_unit, const QuantityReport& r,
                    double d) const {
    const QuantityStatistics& s = r.statistics;
    table.row(std::array<Cell, 9>{
        std::move(label), with_unit ? std::string(name(unit_)) : std::string("-"), cell(s.mean / d),
        cell(error_of(s) / d), cell(s.standard_deviation / d), cell(s.min / d),
        r.quantiles ? cell((*r.quantiles)[median] / d) : Cell{std::string("-")}, cell(s.max / d),
        r.argmax_row < 0 ? Cell{std::string("-")} : Cell{r.argmax_row}});
  }

  void estimator_row(Table& table, std::string label, const QuantityStatistics& s,
                     const QuantityStatistics& bias) const {
    const double d = divisor(Quantity::k1, unit_);
    table.row(std::array<Cell, 5>{std::move(label), cell(bias.mean / d), cell(error_of(bias) / d),
                                  cell(static_cast<double>(s.negative) / static_cast<double>(s.count)),
                                  cell(s.variance / report_[Quantity::k1].statistics.variance)});
  }

  std::FILE* out_;
  const EvalReport& report_;
  Unit unit_;
  bool clustered_;
};

}  // namespace

void print_eval_table(std::FILE* out, const EvalReport& report, Unit unit) {
  const EvalTable table(out, report, unit);
  table.counts();
  table.quantities();
  table.estimators();
}

}  // namespace klmesh::cli
