// One column's share of Jensen-Shannon, total variation and KL[pi || mixture], in fp32 and fp64.
#pragma once

#include "core/cuda/float_pair.cuh"
#include "core/fold.hpp"
#include "klmesh/divergence.hpp"

namespace klmesh::cuda {

// With p the larger and q = p r the smaller of pi and ref, m = p (1 + z), z = (r - 1) / 2 in [-1/2, 0], the shares are
// the CPU's (cpu/second_stage.cpp): p (z - ln(1 + z)) of KL[p || m], p (-z - r (ln(1 + z) - ln r)) of KL[q || m], none of
// them negative, and -p z of total variation.

/// Shares over p.
template <typename T>
struct MixtureShares {
  T of_larger, of_smaller, variation;
};

/// ln cosh(x / 2) for |x| < 1/2, by its series; what is left out is below 1e-8 of the value.
__device__ inline float log_cosh_half(float x) {
  const float y = 0.25f * x * x;
  float p = 31.0f / 14175.0f;
  p = __fmaf_rn(p, y, -17.0f / 2520.0f);
  p = __fmaf_rn(p, y, 1.0f / 45.0f);
  p = __fmaf_rn(p, y, -1.0f / 12.0f);
  p = __fmaf_rn(p, y, 0.5f);
  return y * p;
}

/// @param down -|ln(ref / pi)|; -inf where one side has no mass
__device__ inline MixtureShares<float> mixture_shares(float down) {
  if (down > -0.5f) {
    // With e^t - 1 = t + phi and ln(1 + z) = t / 2 + ln cosh(t / 2), all that is of first order in t is taken out.
    const float phi = expm1_minus(down);
    const float cosh = log_cosh_half(down);
    const float half = 0.5f * phi;
    const float smaller = __fmaf_rn(phi + down, 0.5f * down - cosh, -half - cosh);
    return {half - cosh, smaller, -0.5f * (phi + down)};
  }
  const float r = exp2_approx(1.44269504f * down);
  const float z = 0.5f * r - 0.5f;
  const float log = log1pf(z);
  return {z - log, r == 0.0f ? -z : -z - r * (log - down), -z};
}

__device__ inline MixtureShares<double> mixture_shares(double down) {
  const double z = 0.5 * expm1(down);
  const double log = log1p(z);
  const double r = 2.0 * z + 1.0;
  return {z - log, r == 0.0 ? -z : -z - r * (log - down), -z};
}

/// Twice Jensen-Shannon, total variation, KL[pi || mixture]; of some columns.
template <typename T>
struct ShareSums {
  T twice_jensen_shannon = 0, variation = 0, policy_mixture = 0;

  __device__ void add(const MixtureShares<T>& share, T larger, bool policy_is_larger) {
    const T of_larger = larger * max(share.of_larger, T(0));
    const T of_smaller = larger * max(share.of_smaller, T(0));
    twice_jensen_shannon += of_larger + of_smaller;
    variation += larger * share.variation;
    policy_mixture += policy_is_larger ? of_larger : of_smaller;
  }
};

/// A row's normalisers in fp32, and what multiplies its logits.
struct MixtureRow {
  FloatPair policy_scale, reference_scale, lse_policy, lse_reference, difference;

  __device__ MixtureRow(const RowNormalizer& n, double scale_policy, double scale_reference)
      : policy_scale(split(scale_policy)), reference_scale(split(scale_reference)), lse_policy(split(n.lse_policy)),
        lse_reference(split(n.lse_policy + n.lse_difference)), difference(split(n.lse_difference)) {}
};

template <bool kScaled>
__device__ inline void add_column(float a, float b, const MixtureRow& row, ShareSums<float>& sums) {
  const FloatPair sa = scaled<kScaled>(a, row.policy_scale);
  const FloatPair sb = scaled<kScaled>(b, row.reference_scale);
  const bool in_policy = a > -HUGE_VALF;
  const bool both = in_policy && b > -HUGE_VALF;
  const float l = both ? centred(difference<kScaled>(sb, sa), row.difference) : -HUGE_VALF;
  const bool policy_is_larger = in_policy && !(l > 0.0f);
  const float larger = policy_is_larger ? exp_above<kScaled>(sa, row.lse_policy) : exp_above<kScaled>(sb, row.lse_reference);
  sums.add(mixture_shares(-fabsf(l)), larger, policy_is_larger);
}

/// In fp64. The scaled logits come with what their rounding left, as in cpu/vector_math-inl.h.
__device__ inline void add_column(double a, double b, const RowNormalizer& row, double scale_policy,
                                  double scale_reference, ShareSums<double>& sums) {
  const DoublePair sa = scaled(a, scale_policy), sb = scaled(b, scale_reference);
  const bool in_policy = a > -HUGE_VAL;
  const bool both = in_policy && b > -HUGE_VAL;
  const double l = both ? centred_difference(sb, sa, row.lse_difference) : -HUGE_VAL;
  const bool policy_is_larger = in_policy && !(l > 0.0);
  const double larger = exp(policy_is_larger ? sa.high - row.lse_policy : sb.high - (row.lse_policy + row.lse_difference));
  sums.add(mixture_shares(-fabs(l)), larger, policy_is_larger);
}

}  // namespace klmesh::cuda
