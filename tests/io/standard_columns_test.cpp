#include "klmesh/standard_columns.hpp"

#include <gmock/gmock.h>

#include <set>
#include <string>

namespace klmesh::io {
namespace {

TEST(StandardColumns, AreThoseOfTheFormat) {
  std::set<std::string> expected{"reward_mean", "reward_stddev", "loss", "perplexity_heldout", "tokens"};
  for (const std::string quantity : {"kl_reverse", "kl_forward", "entropy_policy", "entropy_reference",
                                     "logp_policy", "logp_reference", "k1", "k2", "k3"})
    for (const std::string statistic : {"mean", "min", "max", "stddev", "stderr", "stderr_clustered"})
      expected.insert(quantity + "_" + statistic);
  for (const std::string estimator : {"k1", "k2", "k3"})
    for (const std::string statistic : {"bias", "bias_stderr", "bias_stderr_clustered"})
      expected.insert(estimator + "_" + statistic);
  std::set<std::string> names;
  for (const Column& column : standard_columns())
    EXPECT_TRUE(names.insert(column.name).second) << column.name;
  EXPECT_EQ(names, expected);
}

TEST(StandardColumns, AllHaveAUnitAndADescriptionOfTheirOwn) {
  std::set<std::string> descriptions;
  for (const Column& column : standard_columns()) {
    EXPECT_TRUE(column.unit == "nats" || column.unit == "1") << column.name;
    EXPECT_EQ(column.unit == "nats", column.name.starts_with("k") || column.name.starts_with("entropy") ||
                                         column.name.starts_with("logp"))
        << column.name;
    EXPECT_FALSE(column.long_name.empty());
    EXPECT_TRUE(descriptions.insert(column.long_name).second) << column.long_name;
  }
}

}  // namespace
}  // namespace klmesh::io
