// The oracle: two passes over the whole row in long double, straight from the definitions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace klmesh::test {

struct OracleRow {
  long double lse_policy = 0, lse_reference = 0;
  long double chi_square = -1, chi_square_reference_policy = -1, hellinger = 1, jensen_shannon = 0, total_variation = 0;
  long double kl_policy_mixture = 0;  // KL[pi || (pi + ref) / 2]
  long double kl_reverse = 0, kl_forward = 0, entropy_policy = 0, entropy_reference = 0;
  std::vector<long double> log_pi, log_ref, log_ratio;  // log_ratio = log ref - log pi
};

template <typename T>
long double log_sum_exp(std::span<const T> x) {
  const long double top = *std::max_element(x.begin(), x.end());
  long double sum = 0;
  for (const T v : x) sum += std::exp(static_cast<long double>(v) - top);
  return top + std::log(sum);
}

/// ln((pi + ref) / 2 pi) for log_ratio = ln(ref / pi).
inline long double log_mixture_over_policy(long double log_ratio) {
  const long double larger = std::max(log_ratio, 0.0L);
  return larger + std::log1p(std::expm1(-std::fabs(log_ratio)) / 2);
}

/// KL terms are pi (r - 1 - log r): they sum to KL exactly, as sum pi (r - 1) = 0, and none is negative, so a
/// long double sum is good to 1e-15 even at KL = 1e-12. log r is centred before it is rounded.
template <typename T>
OracleRow oracle(std::span<const T> a, std::span<const T> b) {
  OracleRow row;
  row.lse_policy = log_sum_exp(a);
  row.lse_reference = log_sum_exp(b);
  // B - A refined so that sum pi (e^u - 1) = 0 to the last bits
  long double shift = row.lse_reference - row.lse_policy;
  for (int pass = 0; pass < 2; ++pass) {
    long double excess = 0;
    for (std::size_t v = 0; v < a.size(); ++v) {
      const long double pi = std::exp(static_cast<long double>(a[v]) - row.lse_policy);
      const long double ref = std::exp(static_cast<long double>(b[v]) - row.lse_policy - shift);
      if (std::isinf(a[v]) || std::isinf(b[v])) {
        excess += ref - pi;
      } else {
        const long double u = static_cast<long double>(b[v]) - a[v] - shift;
        excess += std::fabs(u) < 1 ? pi * std::expm1(u) : ref - pi;
      }
    }
    shift += std::log1p(excess);
  }
  for (std::size_t v = 0; v < a.size(); ++v) {
    const long double log_pi = static_cast<long double>(a[v]) - row.lse_policy;
    const long double log_ref = static_cast<long double>(b[v]) - row.lse_policy - shift;
    const long double log_ratio = static_cast<long double>(b[v]) - a[v] - shift;
    const long double pi = std::exp(log_pi);
    const long double ref = std::exp(log_ref);
    row.log_pi.push_back(log_pi);
    row.log_ref.push_back(log_ref);
    row.log_ratio.push_back(log_ratio);
    const bool in_policy = !std::isinf(a[v]);
    const bool in_reference = !std::isinf(b[v]);
    if (in_policy) row.entropy_policy -= pi * log_pi;
    if (in_reference) row.entropy_reference -= ref * log_ref;
    row.total_variation += std::fabs(pi - ref) / 2;
    row.hellinger -= std::exp((log_pi + log_ref) / 2);
    if (pi > 0) row.jensen_shannon += pi * std::log(2 * pi / (pi + ref)) / 2;
    if (ref > 0) row.jensen_shannon += ref * std::log(2 * ref / (pi + ref)) / 2;
    if (in_policy) row.kl_policy_mixture -= pi * log_mixture_over_policy(in_reference ? log_ratio : -HUGE_VALL);
    if (in_policy) row.chi_square += in_reference ? std::exp(2 * log_pi - log_ref) : HUGE_VALL;
    if (in_reference) row.chi_square_reference_policy += in_policy ? std::exp(2 * log_ref - log_pi) : HUGE_VALL;
    if (in_policy && in_reference) {
      if (std::fabs(log_ratio) < 1) {
        const long double e = std::expm1(log_ratio);
        row.kl_reverse += pi * (e - log_ratio);
        row.kl_forward += pi * (log_ratio * (1 + e) - e);
      } else {
        row.kl_reverse += ref - pi - pi * log_ratio;
        row.kl_forward += ref * log_ratio - ref + pi;
      }
    } else if (in_policy) {
      row.kl_reverse = HUGE_VALL;
      row.kl_forward += pi;
    } else if (in_reference) {
      row.kl_forward = HUGE_VALL;
      row.kl_reverse += ref;
    }
  }
  return row;
}

}  // namespace klmesh::test
