#include "oracle.hpp"

#include <array>
#include <cmath>

#include "batch.hpp"

namespace consumer {
namespace {

std::vector<long double> log_softmax(Side side, std::int64_t row) {
  std::vector<long double> values;
  long double sum = 0;
  for (std::int64_t v = 0; v < kVocabulary; ++v) {
    values.push_back(logit(side, row, v));
    sum += std::exp(values.back());  // below e^8: no overflow to fear
  }
  for (long double& value : values) value -= std::log(sum);
  return values;
}

// Treats the tokens of a sequence as dependent.
double clustered_error(const std::array<long double, kSequences>& sums, const std::array<long double, kSequences>& counts,
                       long double mean, long double tokens) {
  long double squares = 0;
  for (std::size_t g = 0; g < sums.size(); ++g) squares += std::pow(sums[g] - counts[g] * mean, 2.0L);
  const long double groups = kSequences;
  return static_cast<double>(std::sqrt(groups / (groups - 1) * squares) / tokens);
}

}  // namespace

Row::Row(std::int64_t row) : log_policy(log_softmax(Side::policy, row)), log_reference(log_softmax(Side::reference, row)) {
  for (std::size_t v = 0; v < log_policy.size(); ++v) {
    const long double p = std::exp(log_policy[v]);
    const long double q = std::exp(log_reference[v]);
    kl_reverse += p * (log_policy[v] - log_reference[v]);
    kl_forward += q * (log_reference[v] - log_policy[v]);
    entropy_policy -= p * log_policy[v];
    total_variation += std::fabs(p - q) / 2;
  }
}

Weights weights(std::int64_t row) {
  const double r = static_cast<double>(row);
  return {0.7 + 0.1 * r, 0.2 - 0.03 * r, r - 8.5, 0.05 * r};
}

double derivative(const Row& row, const Weights& weight, std::int64_t target, std::int64_t column) {
  const auto v = static_cast<std::size_t>(column);
  const long double p = std::exp(row.log_policy[v]);
  const long double q = std::exp(row.log_reference[v]);
  const long double reverse = p * (row.log_policy[v] - row.log_reference[v] - row.kl_reverse);
  const long double logp = (column == target ? 1 : 0) - p;
  const long double entropy = -p * (row.log_policy[v] + row.entropy_policy);
  return static_cast<double>(weight.kl_reverse * reverse + weight.kl_forward * (p - q) + weight.logp_policy * logp +
                             weight.entropy_policy * entropy);
}

Step step() {
  long double tokens = 0, reverse = 0, forward = 0, variation = 0, k1 = 0, k2 = 0, k3 = 0;
  std::array<long double, kSequences> sums{}, counts{};
  for (std::int64_t r = 0; r < kRows; ++r) {
    if (mask(r) == 0) continue;
    const Row row(r);
    const auto y = static_cast<std::size_t>(target(r));
    const long double log_ratio = row.log_reference[y] - row.log_policy[y];
    tokens += 1;
    reverse += row.kl_reverse;
    forward += row.kl_forward;
    variation += row.total_variation;
    k1 -= log_ratio;
    k2 += log_ratio * log_ratio / 2;
    k3 += std::exp(log_ratio) - 1 - log_ratio;
    sums[static_cast<std::size_t>(sequence(r))] += row.kl_reverse;
    counts[static_cast<std::size_t>(sequence(r))] += 1;
  }
  const auto mean = [&](long double sum) { return static_cast<double>(sum / tokens); };
  return {static_cast<double>(tokens), mean(reverse), mean(forward), mean(variation), mean(k1), mean(k2), mean(k3),
          clustered_error(sums, counts, reverse / tokens, tokens)};
}

}  // namespace consumer
