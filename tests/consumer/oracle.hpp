// What the numbers should be: the whole vocabulary in long double, from the definitions.
#pragma once

#include <cstdint>
#include <vector>

namespace consumer {

/// One row of the step: both distributions, and what follows from them, in nats.
struct Row {
  explicit Row(std::int64_t row);

  std::vector<long double> log_policy;     // (vocabulary)
  std::vector<long double> log_reference;  // (vocabulary)
  long double kl_reverse = 0;
  long double kl_forward = 0;
  long double entropy_policy = 0;
  long double total_variation = 0;
};

/// Weights of a row's objective.
struct Weights {
  double kl_reverse, kl_forward, logp_policy, entropy_policy;
};
Weights weights(std::int64_t row);

/// d objective / d policy logit of one column, in closed form.
double derivative(const Row& row, const Weights& weight, std::int64_t target, std::int64_t column);

/// Over the step's counted rows.
struct Step {
  double tokens = 0;
  double kl_reverse = 0;                 ///< mean
  double kl_forward = 0;                 ///< mean
  double total_variation = 0;            ///< mean
  double k1 = 0, k2 = 0, k3 = 0;         ///< means at the targets
  double kl_reverse_error_clustered = 0;  ///< by sequence
};
Step step();

}  // namespace consumer
