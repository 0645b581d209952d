#include "klmesh/standard_columns.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace klmesh::io {
namespace {

struct Named {
  std::string_view name;
  std::string_view text;
};

constexpr std::array quantities{
    Named{"kl_reverse", "KL divergence of the policy from the reference, KL[policy || reference]"},
    Named{"kl_forward", "KL divergence of the reference from the policy, KL[reference || policy]"},
    Named{"entropy_policy", "entropy of the policy"},
    Named{"entropy_reference", "entropy of the reference"},
    Named{"logp_policy", "log-probability of the token under the policy"},
    Named{"logp_reference", "log-probability of the token under the reference"},
    Named{"k1", "estimator k1 of the reverse KL, the log-ratio"},
    Named{"k2", "estimator k2 of the reverse KL, half the squared log-ratio"},
    Named{"k3", "estimator k3 of the reverse KL, the log-ratio with control variate"}};

constexpr std::array statistics{
    Named{"mean", "mean over tokens"},
    Named{"min", "minimum over tokens"},
    Named{"max", "maximum over tokens"},
    Named{"stddev", "standard deviation over tokens"},
    Named{"stderr", "standard error of the mean, tokens as if independent"},
    Named{"stderr_clustered", "standard error of the mean, clustered by sequence"}};

constexpr std::array estimators{"k1", "k2", "k3"};

constexpr std::array bias_statistics{
    Named{"bias", "mean of the difference from the exact reverse KL"},
    Named{"bias_stderr", "standard error of the bias, tokens as if independent"},
    Named{"bias_stderr_clustered", "standard error of the bias, clustered by sequence"}};

}  // namespace

std::vector<Column> standard_columns() {
  std::vector<Column> columns;
  for (const Named& quantity : quantities)
    for (const Named& statistic : statistics)
      columns.push_back({fmt::format("{}_{}", quantity.name, statistic.name), "nats",
                         fmt::format("{}: {}", quantity.text, statistic.text)});
  for (const std::string_view estimator : estimators)
    for (const Named& statistic : bias_statistics)
      columns.push_back({fmt::format("{}_{}", estimator, statistic.name), "nats",
                         fmt::format("estimator {} of the reverse KL: {}", estimator, statistic.text)});
  columns.push_back({"reward_mean", "1", "reward of the sampled sequences: mean"});
  columns.push_back({"reward_stddev", "1", "reward of the sampled sequences: standard deviation"});
  // A pure number, not nats: in phase 3 it is a reward, less beta times nats.
  columns.push_back({"loss", "1", "objective that the step descends; in phases 1 and 2 nats per example"});
  columns.push_back({"perplexity_heldout", "1", "perplexity of the policy on held-out text"});
  columns.push_back({"tokens", "1", "tokens counted in the step"});
  return columns;
}

}  // namespace klmesh::io
