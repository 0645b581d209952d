// What the gradient of one row is made of: constants formed in fp64 once a row, and one column's arithmetic in fp32.
#pragma once

#include "core/cuda/float_pair.cuh"
#include "klmesh/divergence.hpp"

namespace klmesh::cuda {

/// RowScales as kernels take them: (rows) each, null for 0 everywhere.
struct RowScalePointers {
  const double* kl_reverse;
  const double* kl_forward;
  const double* logp_policy;
  const double* entropy_policy;
  const double* jensen_shannon;
};

/// Weights of one row, times the policy's scale: the gradient is with respect to the logits in memory.
struct RowWeights {
  double kl_reverse, kl_forward, logp, entropy, half_jensen_shannon;
};

__device__ inline RowWeights row_weights(const RowScalePointers& scales, std::int64_t row, double policy_scale) {
  const auto at = [row, policy_scale](const double* p) { return p == nullptr ? 0.0 : policy_scale * p[row]; };
  return {at(scales.kl_reverse), at(scales.kl_forward), at(scales.logp_policy), at(scales.entropy_policy),
          0.5 * at(scales.jensen_shannon)};
}

/// A row's numbers in fp32. Each quantity has a centre of its own, so that what its factor is near to cancels before
/// anything is rounded: log(ref / pi) + KL = (b - a) - (B - A - KL), log pi + H = a - (A - H).
struct RowConstants {
  FloatPair policy_scale, reference_scale;
  FloatPair lse_policy, lse_reference;
  FloatPair reverse_centre, entropy_centre, difference_centre, mixture_centre;
  float kl_reverse_nats, mixture_share;
  float kl_reverse, kl_forward, logp, entropy, half_jensen_shannon;  // weights

  __device__ void set(const RowNormalizer& n, const RowWeights& w, double scale_policy, double scale_reference) {
    policy_scale = split(scale_policy);
    reference_scale = split(scale_reference);
    lse_policy = split(n.lse_policy);
    lse_reference = split(n.lse_policy + n.lse_difference);
    difference_centre = split(n.lse_difference);
    reverse_centre = split(n.lse_difference - n.kl_reverse);
    entropy_centre = split(n.lse_policy - n.entropy_policy);
    kl_reverse_nats = static_cast<float>(n.kl_reverse);
    if (w.half_jensen_shannon != 0.0) set_mixture(n);
    kl_reverse = static_cast<float>(w.kl_reverse);
    kl_forward = static_cast<float>(w.kl_forward);
    logp = static_cast<float>(w.logp);
    entropy = static_cast<float>(w.entropy);
    half_jensen_shannon = static_cast<float>(w.half_jensen_shannon);
  }

  // l* of mixture_excess: (1 + e^l*) / 2 = e^-KL[pi || m]; -inf at ln 2, the most there is, kept finite.
  __device__ void set_mixture(const RowNormalizer& n) {
    const double kl = n.kl_policy_mixture;
    const double ratio = kl < 0.3 ? 1.0 + 2.0 * expm1(-kl) : fmax(expm1(kLn2 - kl), 0x1p-60);
    mixture_centre = split(n.lse_difference + (kl < 0.3 ? log1p(2.0 * expm1(-kl)) : log(ratio)));
    mixture_share = static_cast<float>(ratio / (1.0 + ratio));
  }
};

/// ln(m / pi) + KL[pi || m], m = (pi + ref) / 2, of l = ln(ref / pi). With l* where it is 0, that is ln(1 + e^l) -
/// ln(1 + e^l*) = ln(1 + share (e^(l - l*) - 1)), share = e^l* / (1 + e^l*): nothing cancels.
/// @param u b - a; not looked at unless `both` sides have mass
__device__ inline float mixture_excess(FloatPair u, bool both, const RowConstants& row) {
  if (!both) return log1pf(-row.mixture_share);
  const float x = fminf(centred(u, row.mixture_centre), 80.0f);  // beyond, pi is 0
  const float grown = fabsf(x) < 0.5f ? expm1_minus(x) + x : exp2_approx(1.44269504f * x) - 1.0f;
  return log1pf(row.mixture_share * grown);
}

/// pi (-s_r (l + KL) - s_e (log pi + H) - s_l - s_j/2 (log(m / pi) + KL[pi || m])) + s_f (pi - ref), as on the CPU, with
/// l = log(ref / pi) and m = (pi + ref) / 2. The target's + s_l is added by the caller.
/// kMore: kl_forward, entropy or jensen_shannon may have a weight.
template <bool kScaled, bool kMore>
__device__ inline float gradient_of_column(float a, float b, const RowConstants& row) {
  const FloatPair sa = scaled<kScaled>(a, row.policy_scale);
  const FloatPair sb = scaled<kScaled>(b, row.reference_scale);
  const bool in_policy = a > -HUGE_VALF;
  const bool both = in_policy && b > -HUGE_VALF;
  const FloatPair u = difference<kScaled>(sb, sa);
  const float pi = exp_above<kScaled>(sa, row.lse_policy);

  const float reverse = both ? centred(u, row.reverse_centre) : row.kl_reverse_nats;
  float factor = -row.logp;
  // An unused quantity may be infinite or unknown; its weight of 0 must not turn that into NaN.
  if (row.kl_reverse != 0.0f) factor = __fmaf_rn(-row.kl_reverse, reverse, factor);
  if constexpr (!kMore) return pi * factor;

  const float l = both ? centred(u, row.difference_centre) : -HUGE_VALF;
  if (row.entropy != 0.0f) {
    const float excess = in_policy ? above<kScaled>(sa, row.entropy_centre) : 0.0f;
    factor = __fmaf_rn(-row.entropy, excess, factor);
  }
  if (row.half_jensen_shannon != 0.0f) {
    factor = __fmaf_rn(-row.half_jensen_shannon, mixture_excess(u, both, row), factor);
  }
  const float g = pi * factor;
  if (row.kl_forward == 0.0f) return g;
  const float excess = fabsf(l) < 0.5f ? -pi * (expm1_minus(l) + l) : pi - exp_above<kScaled>(sb, row.lse_reference);
  return __fmaf_rn(row.kl_forward, excess, g);
}

/// The same in fp64, for f64 logits.
__device__ inline double gradient_of_column(double a, double b, double scale_policy, double scale_reference,
                                            const RowNormalizer& row, const RowWeights& w) {
  const DoublePair sa = scaled(a, scale_policy), sb = scaled(b, scale_reference);
  const bool in_policy = a > -HUGE_VAL;
  const bool both = in_policy && b > -HUGE_VAL;
  const double l = both ? centred_difference(sb, sa, row.lse_difference) : -HUGE_VAL;
  const double ah = sa.high, bh = sb.high;
  const double log_pi = ah - row.lse_policy;
  const double pi = exp(log_pi);
  double factor = -w.logp;
  if (w.kl_reverse != 0.0) factor -= w.kl_reverse * ((both ? l : 0.0) + row.kl_reverse);
  if (w.entropy != 0.0) factor -= w.entropy * ((in_policy ? log_pi : 0.0) + row.entropy_policy);
  if (w.half_jensen_shannon != 0.0) {
    factor -= w.half_jensen_shannon * (fmax(l, 0.0) + log1p(0.5 * expm1(-fabs(l))) + row.kl_policy_mixture);
  }
  const double g = pi * factor;
  if (w.kl_forward == 0.0) return g;
  const double excess = fabs(l) < 0.5 ? -pi * expm1(l) : pi - exp((bh - row.lse_policy) - row.lse_difference);
  return g + w.kl_forward * excess;
}

}  // namespace klmesh::cuda
