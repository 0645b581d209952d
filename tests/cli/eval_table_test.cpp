#include "cli/eval_table.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <numbers>
#include <sstream>
#include <vector>

#include "cli/eval_reports.hpp"

namespace klmesh::cli::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string table_of(const eval::EvalReport& report, Unit unit = Unit::nats,
                     Aggregate aggregate = Aggregate::token_mean) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  print_eval_table(file.get(), report, unit, aggregate);
  std::rewind(file.get());
  std::string text(1 << 16, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  return text;
}

// Lines of data, cell by cell; an estimator has two.
std::multimap<std::string, std::vector<std::string>> rows_of(const std::string& text) {
  std::multimap<std::string, std::vector<std::string>> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream cells(line);
    std::vector<std::string> row;
    for (std::string cell; cells >> cell;) row.push_back(cell);
    rows.emplace(row.at(0), row);
  }
  return rows;
}

std::vector<std::string> row_of(const std::string& text, const std::string& name) {
  const auto rows = rows_of(text);
  const auto found = rows.lower_bound(name);
  return found == rows.end() || found->first != name ? std::vector<std::string>{} : found->second;
}

TEST(EvalTable, HasARowPerQuantity) {
  const std::string text = table_of(full_report());
  EXPECT_EQ(rows_of(text).size(), 18u + 1 + 4);
  EXPECT_THAT(row_of(text, "kl_reverse"),
              ElementsAre("kl_reverse", "nats", "1.02", "1.09", "1.07", "1.03", "1.3", "1.04", "7"));
  EXPECT_THAT(row_of(text, "hellinger"),
              ElementsAre("hellinger", "-", "19.02", "19.1", "19.07", "19.03", "-", "19.04", "7"));
  const auto rows = rows_of(text);
  EXPECT_THAT(std::next(rows.lower_bound("k1"))->second, ElementsAre("k1", "12.02", "12.1", "0.25", "1"));
  EXPECT_THAT(text, HasSubstr("# tokens 4, masked 2, invalid 1, vocabulary 50; "
                              "other meshes may differ"));
  EXPECT_THAT(text, HasSubstr("clustered by sequence"));
  EXPECT_THAT(text, HasSubstr("root mean square 0.5"));
  EXPECT_THAT(text, HasSubstr("lambda 0.5, fitted"));
}

TEST(EvalTable, ShowsBits) {
  const std::string text = table_of(full_report(), Unit::bits);
  EXPECT_EQ(row_of(text, "kl_reverse").at(1), "bits");
  EXPECT_EQ(row_of(text, "kl_reverse").at(2), fmt::format("{:.8g}", 1.02 / std::numbers::ln2));
  EXPECT_EQ(row_of(text, "hellinger").at(2), "19.02");
}

TEST(EvalTable, ShowsRenyiAndAnAggregateWhereAskedFor) {
  const std::string text = table_of(report_with_renyi(2.5), Unit::nats, Aggregate::sequence_sum);
  EXPECT_EQ(rows_of(text).size(), 19u + 1 + 4);
  EXPECT_THAT(row_of(text, "renyi(2.5)"), ElementsAre("renyi(2.5)", "nats", "23.02", "23.1", "23.07", "23.03", "-",
                                                      "23.04", "7", "23.12"));
  EXPECT_EQ(row_of(text, "k_lambda").at(9), "30.12");
  EXPECT_THAT(text, HasSubstr("sequence_sum"));
  EXPECT_EQ(row_of(table_of(full_report(), Unit::nats, Aggregate::sequence_mean), "kl_reverse").at(9), "1.11");
  EXPECT_THAT(table_of(full_report()), Not(HasSubstr("sequence_")));
  EXPECT_TRUE(row_of(table_of(full_report()), "renyi").empty());
}

TEST(EvalTable, LeavesOutWhatIsNotThere) {
  EXPECT_EQ(rows_of(table_of(core_report())).size(), 18u - 6 + 1 + 4);
  EXPECT_EQ(rows_of(table_of(report_without_targets())).size(), 18u - 6);
  const std::string logp = table_of(report_of_logp());
  EXPECT_EQ(rows_of(logp).size(), 6u + 1 + 4);
  const auto rows = rows_of(logp);
  EXPECT_THAT(std::next(rows.lower_bound("k2"))->second.at(1), "-");
  EXPECT_THAT(logp, Not(HasSubstr("vocabulary")));
}

TEST(EvalTable, QuotesPlainErrorsWithoutSequences) {
  eval::EvalReport report = full_report();
  for (eval::QuantityReport& q : report.quantities) q.statistics.standard_error_clustered = std::nan("");
  const std::string text = table_of(report);
  EXPECT_EQ(row_of(text, "kl_reverse").at(3), "1.08");
  EXPECT_THAT(text, HasSubstr("as if tokens were independent"));
}

TEST(EvalTable, CountsInfiniteAndOverflowedRows) {
  EXPECT_THAT(table_of(full_report()), Not(HasSubstr("infinite")));
  eval::EvalReport report = full_report();
  report[Quantity::kl_forward].infinite_rows = 3;
  report[Quantity::kl_forward].statistics.mean = HUGE_VAL;
  report[Quantity::k3].overflowed_rows = 2;
  const std::string text = table_of(report);
  EXPECT_THAT(text, HasSubstr("# infinite rows: kl_forward 3\n# overflowed rows: k3 2\n"));
  EXPECT_EQ(row_of(text, "kl_forward").at(2), "inf");
}

}  // namespace
}  // namespace klmesh::cli::test
