#include "cli/eval_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numbers>
#include <vector>

#include "cli/eval_reports.hpp"

namespace klmesh::cli::test {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using Json = nlohmann::ordered_json;

constexpr double ln2 = std::numbers::ln2;

Json json_of(const eval::EvalReport& report, Unit unit = Unit::nats, Aggregate aggregate = Aggregate::token_mean) {
  return Json::parse(eval_json(report, unit, aggregate));
}

std::vector<std::string> keys(const Json& json) {
  std::vector<std::string> names;
  for (const auto& [key, value] : json.items()) names.push_back(key);
  return names;
}

const std::vector<std::string> plain{"mean",      "sum", "min", "max", "stddev", "stderr", "stderr_clustered",
                                     "argmax_row"};

std::vector<std::string> plain_and(std::initializer_list<const char*> more) {
  std::vector<std::string> names = plain;
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

// As statistics() and quantity() of eval_reports.hpp made them; d is what they
// must be divided by.
void expect_quantity(const Json& json, double base, double d = 1) {
  SCOPED_TRACE(base);
  EXPECT_EQ(json["mean"], (base + 0.02) / d);
  EXPECT_EQ(json["sum"], (base + 0.01) / d);
  EXPECT_EQ(json["min"], (base + 0.03) / d);
  EXPECT_EQ(json["max"], (base + 0.04) / d);
  EXPECT_EQ(json["stddev"], (base + 0.07) / d);
  EXPECT_EQ(json["stderr"], (base + 0.08) / d);
  EXPECT_EQ(json["stderr_clustered"], (base + 0.09) / d);
  EXPECT_EQ(json["argmax_row"], 7);
  if (!json.contains("quantiles")) return;
  EXPECT_THAT(keys(json["quantiles"]), ElementsAre("0.01", "0.1", "0.5", "0.9", "0.99", "0.999"));
  double tenths = 0.1;
  for (const char* q : {"0.01", "0.1", "0.5", "0.9", "0.99", "0.999"}) {
    EXPECT_DOUBLE_EQ(json["quantiles"][q].get<double>(), (base + tenths) / d) << q;
    tenths += 0.1;
  }
}

void expect_all_null(const Json& json) {
  for (const auto& [key, value] : json.items()) {
    if (value.is_object()) {
      expect_all_null(value);
    } else {
      EXPECT_TRUE(value.is_null()) << key << ": " << value;
    }
  }
}

TEST(EvalJson, HasTheKeysOfTheSchemaInTheirOrder) {
  const Json json = json_of(full_report());
  EXPECT_THAT(keys(json),
              ElementsAre("schema", "unit", "tokens", "masked_tokens", "invalid_rows", "vocab_size", "mesh",
                          "backend", "reproducible", "infinite_rows", "overflowed_rows", "exact", "same_top",
                          "rms_delta_p", "mean_delta_p", "estimators"));
  EXPECT_THAT(keys(json["infinite_rows"]),
              ElementsAre("kl_reverse", "kl_forward", "entropy_policy", "entropy_reference",
                          "cross_entropy_policy_reference", "cross_entropy_reference_policy", "chi_square",
                          "chi_square_reference_policy", "hellinger", "jensen_shannon", "total_variation",
                          "logp_policy", "logp_reference", "k1", "k2", "k3", "k_lambda"));
  EXPECT_THAT(keys(json["overflowed_rows"]), ElementsAre("k3", "chi_square", "chi_square_reference_policy"));
  EXPECT_THAT(keys(json["exact"]),
              ElementsAre("kl_reverse", "kl_forward", "entropy_policy", "entropy_reference",
                          "cross_entropy_policy_reference", "cross_entropy_reference_policy", "chi_square",
                          "chi_square_reference_policy", "hellinger", "jensen_shannon", "total_variation"));
  EXPECT_THAT(keys(json["estimators"]),
              ElementsAre("logp_policy", "logp_reference", "k1", "k2", "k3", "k_lambda"));
}

TEST(EvalJson, HasTheFieldsOfEachKindOfQuantity) {
  const Json json = json_of(full_report());
  for (const auto& [name, entry] : json["exact"].items()) {
    const bool quantiles = name == "kl_reverse" || name == "kl_forward";
    EXPECT_EQ(keys(entry), quantiles ? plain_and({"quantiles"}) : plain) << name;
  }
  const auto estimator = plain_and({"quantiles", "bias", "bias_stderr", "bias_stderr_clustered",
                                    "negative_fraction", "variance_ratio_k1"});
  for (const char* k : {"k1", "k2", "k3"}) EXPECT_EQ(keys(json["estimators"][k]), estimator) << k;
  for (const char* p : {"logp_policy", "logp_reference"})
    EXPECT_EQ(keys(json["estimators"][p]), plain_and({"quantiles"}));
  auto k_lambda = estimator;
  k_lambda.push_back("lambda");
  EXPECT_EQ(keys(json["estimators"]["k_lambda"]), k_lambda);
}

TEST(EvalJson, RenyiIsThereOnlyWhereItWasAskedFor) {
  for (const Unit unit : {Unit::nats, Unit::bits}) {
    const Json json = json_of(report_with_renyi(2.5), unit);
    const Json& renyi = json["exact"].at("renyi");
    EXPECT_EQ(keys(renyi), plain_and({"alpha"}));
    EXPECT_EQ(renyi["alpha"], 2.5);
    expect_quantity(renyi, 23, unit == Unit::bits ? ln2 : 1.0);
    EXPECT_EQ(json["infinite_rows"].at("renyi"), 0);
    EXPECT_FALSE(json["overflowed_rows"].contains("renyi"));
  }
  eval::EvalReport logp = report_of_logp();
  logp.renyi_alpha = 2.5;
  EXPECT_TRUE(json_of(logp).at("exact").is_null());
  EXPECT_TRUE(json_of(logp)["infinite_rows"].at("renyi").is_null());
}

TEST(EvalJson, AnAggregateOfSequencesIsAFieldOfEveryEntry) {
  for (const Aggregate aggregate : {Aggregate::sequence_mean, Aggregate::sequence_sum}) {
    const std::string field(field_of(aggregate));
    const double offset = aggregate == Aggregate::sequence_mean ? 0.11 : 0.12;
    const Json json = json_of(report_with_renyi(2), Unit::bits, aggregate);
    for (const char* group : {"exact", "estimators"}) {
      for (const auto& [name, entry] : json[group].items()) {
        EXPECT_EQ(keys(entry).at(plain.size()), field) << name;
        EXPECT_FALSE(entry.contains(aggregate == Aggregate::sequence_mean ? "sequence_sum" : "sequence_mean")) << name;
      }
    }
    EXPECT_EQ(json["exact"]["kl_reverse"][field], (1 + offset) / ln2);
    EXPECT_EQ(json["exact"]["hellinger"][field], 19 + offset);
    EXPECT_EQ(json["estimators"]["k_lambda"][field], (30 + offset) / ln2);
    EXPECT_EQ(json["exact"]["kl_reverse"]["mean"], 1.02 / ln2);
  }
  eval::EvalReport without = full_report();
  without[Quantity::k1].statistics.sequence_mean = std::nan("");
  EXPECT_TRUE(json_of(without, Unit::nats, Aggregate::sequence_mean)["estimators"]["k1"].at("sequence_mean").is_null());
}

TEST(EvalJson, TellsTheJob) {
  const Json json = json_of(full_report());
  EXPECT_EQ(json["schema"], "klmesh.eval/1");
  EXPECT_EQ(json["unit"], "nats");
  EXPECT_EQ(json["tokens"], 4);
  EXPECT_EQ(json["masked_tokens"], 2);
  EXPECT_EQ(json["invalid_rows"], 1);
  EXPECT_EQ(json["vocab_size"], 50);
  EXPECT_TRUE(json["tokens"].is_number_integer() && json["vocab_size"].is_number_integer());
  EXPECT_EQ(json["mesh"], Json::parse(R"({"batch": 2, "vocab": 3})"));
  EXPECT_EQ(json["backend"], "cpu");
  EXPECT_EQ(json["reproducible"], false);
}

void expect_values(const Json& json, double d) {
  expect_quantity(json["exact"]["kl_reverse"], 1, d);
  expect_quantity(json["exact"]["kl_forward"], 2, d);
  expect_quantity(json["exact"]["entropy_policy"], 3, d);
  expect_quantity(json["exact"]["entropy_reference"], 4, d);
  expect_quantity(json["exact"]["cross_entropy_policy_reference"], 5, d);
  expect_quantity(json["exact"]["cross_entropy_reference_policy"], 6, d);
  expect_quantity(json["exact"]["chi_square"], 17);
  expect_quantity(json["exact"]["chi_square_reference_policy"], 18);
  expect_quantity(json["exact"]["hellinger"], 19);
  expect_quantity(json["exact"]["jensen_shannon"], 20, d);
  expect_quantity(json["exact"]["total_variation"], 21);
  expect_quantity(json["estimators"]["logp_policy"], 7, d);
  expect_quantity(json["estimators"]["logp_reference"], 8, d);
  expect_quantity(json["estimators"]["k1"], 9, d);
  expect_quantity(json["estimators"]["k2"], 10, d);
  expect_quantity(json["estimators"]["k3"], 11, d);
  expect_quantity(json["estimators"]["k_lambda"], 30, d);
}

void expect_estimators(const Json& json, double d) {
  const std::vector<std::tuple<const char*, double, double>> biases{
      {"k1", 12, 9.06}, {"k2", 13, 10.06}, {"k3", 14, 11.06}, {"k_lambda", 40, 30.06}};
  for (const auto& [name, bias, variance] : biases) {
    const Json& k = json["estimators"][name];
    EXPECT_EQ(k["bias"], (bias + 0.02) / d) << name;
    EXPECT_EQ(k["bias_stderr"], (bias + 0.08) / d) << name;
    EXPECT_EQ(k["bias_stderr_clustered"], (bias + 0.09) / d) << name;
    EXPECT_EQ(k["negative_fraction"], 0.25) << name;
    EXPECT_DOUBLE_EQ(k["variance_ratio_k1"].get<double>(), variance / 9.06) << name;
  }
  EXPECT_EQ(json["estimators"]["k_lambda"]["lambda"], 0.5);
  EXPECT_EQ(json["same_top"],
            Json::parse(R"({"mean": 0.75, "stderr": 0.21650635094610965})"));  // sqrt(3/16/4)
  EXPECT_EQ(json["rms_delta_p"], 0.5);
  EXPECT_EQ(json["mean_delta_p"], 15.02);
}

TEST(EvalJson, PutsEveryNumberInItsPlace) {
  const Json json = json_of(full_report());
  expect_values(json, 1);
  expect_estimators(json, 1);
}

TEST(EvalJson, BitsAreNatsByLn2OnceWhereThereIsAUnit) {
  const Json json = json_of(full_report(), Unit::bits);
  EXPECT_EQ(json["unit"], "bits");
  expect_values(json, ln2);
  expect_estimators(json, ln2);
}

TEST(EvalJson, CoreLeavesTheExtendedNull) {
  const Json json = json_of(core_report());
  for (const char* name :
       {"chi_square", "chi_square_reference_policy", "hellinger", "jensen_shannon", "total_variation"}) {
    EXPECT_TRUE(json["exact"].at(name).is_null()) << name;
    EXPECT_TRUE(json["infinite_rows"].at(name).is_null()) << name;
  }
  EXPECT_TRUE(json.at("same_top").is_null());
  EXPECT_TRUE(json["overflowed_rows"].at("chi_square").is_null());
  EXPECT_EQ(json["overflowed_rows"]["k3"], 0);
  expect_quantity(json["exact"]["cross_entropy_reference_policy"], 6);
}

TEST(EvalJson, WithoutTargetsThereAreNoEstimators) {
  const Json json = json_of(report_without_targets());
  EXPECT_TRUE(json.at("estimators").is_null());
  EXPECT_TRUE(json.at("rms_delta_p").is_null() && json.at("mean_delta_p").is_null());
  for (const char* name : {"logp_policy", "logp_reference", "k1", "k2", "k3", "k_lambda"}) {
    EXPECT_TRUE(json["infinite_rows"].at(name).is_null()) << name;
  }
  expect_quantity(json["exact"]["total_variation"], 21);
}

TEST(EvalJson, LogProbabilitiesAloneHaveNoExactValues) {
  const Json json = json_of(report_of_logp());
  EXPECT_TRUE(json.at("exact").is_null() && json.at("vocab_size").is_null() && json.at("same_top").is_null());
  for (const char* k : {"k1", "k2", "k3", "k_lambda"}) {
    for (const char* field : {"bias", "bias_stderr", "bias_stderr_clustered"}) {
      EXPECT_TRUE(json["estimators"][k].at(field).is_null()) << k << ' ' << field;
    }
    EXPECT_EQ(json["estimators"][k]["negative_fraction"], 0.25) << k;
  }
  EXPECT_EQ(json["rms_delta_p"], 0.5);
  EXPECT_TRUE(json["infinite_rows"].at("kl_reverse").is_null());
  EXPECT_EQ(json["infinite_rows"]["k1"], 0);
}

TEST(EvalJson, AnAbsentKLambdaIsAllNull) {
  eval::EvalReport report = full_report();
  report.k_lambda.reset();
  const Json json = json_of(report);
  const Json& k_lambda = json["estimators"].at("k_lambda");
  EXPECT_EQ(k_lambda.size(), plain.size() + 7);
  EXPECT_EQ(k_lambda["quantiles"].size(), 6u);
  expect_all_null(k_lambda);
  EXPECT_TRUE(json["infinite_rows"].at("k_lambda").is_null());
}

TEST(EvalJson, InfiniteAndOverflowedRowsAreCounted) {
  eval::EvalReport report = full_report();
  report[Quantity::kl_forward].infinite_rows = 3;
  report[Quantity::kl_forward].statistics = {
      .count = 4, .infinite = 3, .sum = HUGE_VAL, .mean = HUGE_VAL, .min = 1, .max = HUGE_VAL};
  report[Quantity::logp_reference].statistics.min = -HUGE_VAL;
  report[Quantity::k3].overflowed_rows = 2;
  report[Quantity::chi_square].overflowed_rows = 5;
  report[Quantity::chi_square_reference_policy].overflowed_rows = 6;
  report.k_lambda->value.infinite_rows = 1;
  for (const Unit unit : {Unit::nats, Unit::bits}) {
    const Json json = json_of(report, unit);
    EXPECT_EQ(json["infinite_rows"]["kl_forward"], 3);
    EXPECT_EQ(json["infinite_rows"]["k_lambda"], 1);
    EXPECT_EQ(json["infinite_rows"]["k3"], 0);
    EXPECT_EQ(json["overflowed_rows"],
              Json::parse(R"({"k3": 2, "chi_square": 5, "chi_square_reference_policy": 6})"));
    EXPECT_EQ(json["exact"]["kl_forward"]["mean"], "inf");
    EXPECT_EQ(json["exact"]["kl_forward"]["max"], "inf");
    EXPECT_TRUE(json["exact"]["kl_forward"]["stddev"].is_null());
    EXPECT_EQ(json["estimators"]["logp_reference"]["min"], "-inf");
  }
}

TEST(EvalJson, OneTokenHasNoErrors) {
  eval::EvalReport report = full_report();
  report.tokens = 1;
  report.k_lambda.reset();
  report[Quantity::same_top].statistics.mean = 1;
  for (eval::QuantityReport& q : report.quantities) {
    q.statistics = {.count = 1, .sum = 0.5, .mean = 0.5, .min = 0.5, .max = 0.5, .mean_square = 0.25};
  }
  report[Quantity::same_top].statistics.mean = 1;
  const Json k1 = json_of(report)["estimators"]["k1"];
  EXPECT_EQ(k1["mean"], 0.5);
  for (const char* field : {"stddev", "stderr", "stderr_clustered", "bias_stderr", "variance_ratio_k1"}) {
    EXPECT_TRUE(k1.at(field).is_null()) << field;
  }
  EXPECT_EQ(k1["bias"], 0.5);
  EXPECT_EQ(k1["negative_fraction"], 0.0);
  EXPECT_EQ(json_of(report)["same_top"]["stderr"], 0.0);
}

TEST(EvalJson, NoMaximumHasNoRow) {
  eval::EvalReport report = full_report();
  report[Quantity::k1].argmax_row = -1;
  EXPECT_TRUE(json_of(report)["estimators"]["k1"].at("argmax_row").is_null());
}

}  // namespace
}  // namespace klmesh::cli::test
