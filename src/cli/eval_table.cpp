#include "cli/eval_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/console.hpp"
#include "cli/eval_quantities.hpp"

namespace klmesh::cli {
namespace {

using eval::EvalReport;
using eval::QuantityReport;

// Of the quantities that neither list has, those of a table.
constexpr std::array other_quantities{Quantity::same_top, Quantity::delta_p};

// In the order of the table: exact ones, others, sampled ones.
std::vector<Quantity> shown_quantities(const EvalReport& report) {
  std::vector<Quantity> shown;
  for (const std::span<const Quantity> list : {std::span<const Quantity>(exact_quantities),
                                               std::span<const Quantity>(other_quantities),
                                               std::span<const Quantity>(sampled_quantities)}) {
    std::ranges::copy_if(list, std::back_inserter(shown), [&](Quantity q) { return report.has(q); });
  }
  return shown;
}

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
bool errors_are_clustered(const EvalReport& report, std::span<const Quantity> shown) {
  return std::ranges::any_of(
      shown, [&](Quantity q) { return !std::isnan(report[q].statistics.standard_error_clustered); });
}

// Of a table: renyi is a family.
std::string label_of(const EvalReport& report, Quantity q) {
  return q == Quantity::renyi ? fmt::format("renyi({})", *report.renyi_alpha) : std::string(name(q));
}

class EvalTable {
 public:
  EvalTable(std::FILE* out, const EvalReport& report, Unit unit, Aggregate aggregate)
      : out_(out),
        report_(report),
        unit_(unit),
        aggregate_(aggregate),
        shown_(shown_quantities(report)),
        clustered_(errors_are_clustered(report, shown_)) {}

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
    std::vector<Column> columns{words("quantity", 30), words("unit", 4),   number("mean", 8, 14),
                                number("+-", 3, 9),    number("stddev"),   number("min"),
                                number("median"),      number("max"),      words("max_row", 8)};
    if (aggregate_ != Aggregate::token_mean) columns.push_back(number(std::string(field_of(aggregate_)), 8, 14));
    Table table(out_, std::move(columns));
    table.header();
    for (const Quantity q : shown_) {
      quantity_row(table, label_of(report_, q), is_in_nats(q), report_[q], divisor(q, unit_));
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
    for (const Quantity q : shown_) {
      if (report_[q].*rows > 0) text += fmt::format(" {} {}", name(q), report_[q].*rows);
    }
    if (!text.empty()) write_out(out_, fmt::format("# {} rows:{}\n", what, text));
  }

  void quantity_row(Table& table, std::string label, bool with_unit, const QuantityReport& r,
                    double d) const {
    const QuantityStatistics& s = r.statistics;
    std::vector<Cell> cells{std::move(label),
                            with_unit ? std::string(name(unit_)) : std::string("-"),
                            cell(s.mean / d),
                            cell(error_of(s) / d),
                            cell(s.standard_deviation / d),
                            cell(s.min / d),
                            r.quantiles ? cell((*r.quantiles)[median] / d) : Cell{std::string("-")},
                            cell(s.max / d),
                            r.argmax_row < 0 ? Cell{std::string("-")} : Cell{r.argmax_row}};
    if (aggregate_ != Aggregate::token_mean) cells.push_back(cell(value_of(s, aggregate_) / d));
    table.row(cells);
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
  Aggregate aggregate_;
  std::vector<Quantity> shown_;
  bool clustered_;
};

}  // namespace

void print_eval_table(std::FILE* out, const EvalReport& report, Unit unit, Aggregate aggregate) {
  const EvalTable table(out, report, unit, aggregate);
  table.counts();
  table.quantities();
  table.estimators();
}

}  // namespace klmesh::cli
