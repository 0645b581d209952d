#include "loop/coverage.hpp"

#include <cmath>
#include <limits>

namespace klmesh::loop {
namespace {

constexpr double kExpected = 0.95;
constexpr double kSmallestKl = 1e-3;
constexpr double kLargestKl = 0.3;
constexpr double kSignificance = 0.01;

double log_choose(double n, double k) { return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1); }

}  // namespace

double Coverage::fraction() const noexcept {
  if (steps == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(inside) / static_cast<double>(steps);
}

double Coverage::p_value() const noexcept {
  const auto n = static_cast<double>(steps);
  double p = 0.0;
  for (std::int64_t i = 0; i <= inside; ++i) {
    const auto k = static_cast<double>(i);
    p += std::exp(log_choose(n, k) + k * std::log(kExpected) + (n - k) * std::log1p(-kExpected));
  }
  return std::fmin(1.0, p);
}

bool Coverage::fails() const noexcept { return steps > 0 && fraction() < kExpected && p_value() < kSignificance; }

void BiasCoverage::add(const StepStatistics& step) {
  const double kl = step[Quantity::kl_reverse].mean;
  if (!(kl >= kSmallestKl && kl <= kLargestKl)) return;
  constexpr std::array<Quantity, 3> biases{Quantity::k1_bias, Quantity::k2_bias, Quantity::k3_bias};
  for (std::size_t i = 0; i < biases.size(); ++i) {
    const QuantityStatistics& bias = step[biases[i]];
    if (!std::isfinite(bias.standard_error_clustered)) continue;  // one sequence has no error bar to be within
    ++coverage_[i].steps;
    if (std::fabs(bias.mean) <= 2.0 * bias.standard_error_clustered) ++coverage_[i].inside;
  }
}

}  // namespace klmesh::loop
