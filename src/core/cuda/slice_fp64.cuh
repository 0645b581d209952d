// The partial of one canonical slice of one row in fp64, by one warp; the algorithm of cpu/slice_partial-inl.h. It takes
// whatever the fp32 lanes leave: f64 logits, unequal scales, one-sided masks, slices that share nothing.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/cuda/columns.cuh"
#include "core/cuda/warp.cuh"
#include "klmesh/row_partial.hpp"

namespace klmesh::cuda {

inline constexpr double kLargest = std::numeric_limits<double>::max();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr std::int32_t kNoColumn = std::numeric_limits<std::int32_t>::max();

struct Scales {
  double policy = 1.0;
  double reference = 1.0;
};

/// Both sides' columns of one slice.
struct SliceColumns {
  const char* policy;
  const char* reference;
  DType policy_dtype;
  DType reference_dtype;
  std::int64_t begin;    ///< first column (global index)
  std::int64_t columns;

  __device__ double a(std::int64_t i) const { return load_element<double>(policy, policy_dtype, i); }
  __device__ double b(std::int64_t i) const { return load_element<double>(reference, reference_dtype, i); }
};

// A scaled logit as an unevaluated sum, so that a small difference of large logits survives the scaling.
struct Scaled {
  double high, low;
};

__device__ inline Scaled scale_logit(double x, double factor) {
  if (factor == 1.0) return {x, 0.0};
  const double product = x * factor;
  if (fabs(x) >= kInfinity) return {product, 0.0};
  if (fabs(product) >= kInfinity) return {copysign(kLargest, product), 0.0};  // a finite logit stays finite
  return {product, __fma_rn(x, factor, -product)};
}

// x - exponent ln 2, rounded once for any integer exponent.
__device__ inline double above_reference(double x, double exponent) {
  return __fma_rn(-exponent, kLn2Low, __fma_rn(-exponent, kLn2, x));
}

// b - a - (steps ln 2 + pivot), where b - a is taken without error first: under a common offset its rounding would be
// as large as what is left.
__device__ inline double centred_difference(const Scaled& a, const Scaled& b, double steps, double pivot) {
  const double s = b.high - a.high;
  const double bb = s - b.high;
  const double error = (b.high - (s - bb)) - (a.high + bb);
  return (above_reference(s, steps) - pivot) + (error + (b.low - a.low));
}

inline constexpr double kNearFp64 = 0.5;

// expm1(u) - u for |u| < kNearFp64: what the series leaves out is below 2e-13 of it.
__device__ inline double expm1_minus(double u) {
  double p = 1.0 / 479001600.0;
  p = __fma_rn(p, u, 1.0 / 39916800.0);
  p = __fma_rn(p, u, 1.0 / 3628800.0);
  p = __fma_rn(p, u, 1.0 / 362880.0);
  p = __fma_rn(p, u, 1.0 / 40320.0);
  p = __fma_rn(p, u, 1.0 / 5040.0);
  p = __fma_rn(p, u, 1.0 / 720.0);
  p = __fma_rn(p, u, 1.0 / 120.0);
  p = __fma_rn(p, u, 1.0 / 24.0);
  p = __fma_rn(p, u, 1.0 / 6.0);
  p = __fma_rn(p, u, 0.5);
  return (u * u) * p;
}

// One column's terms, added to its lane's sums.
__device__ inline void add_column(RowPartial& p, double w, double v, double u, double above, double above_b,
                                  bool in_policy, bool in_reference) {
  const bool both = in_policy && in_reference;
  if (both && fabs(u) < kNearFp64) {
    const double phi = expm1_minus(u);
    p.M += w * (phi + u);
    p.K += w * phi;
    p.F += w * __fma_rn(u, phi + u, -phi);
    p.T += w * u;
  } else {
    const double bounded = both ? fmax(-kLargest, fmin(u, kLargest)) : 0.0;
    p.M += v - w;
    p.K += both ? (v - w) - w * bounded : v;
    p.F += both ? __fma_rn(bounded - 1.0, v, w) : w;
    p.T += w * bounded;
  }
  p.S += w;
  if (w > 0.0) p.E += w * above;
  if (v > 0.0) p.R += v * above_b;
  if (in_policy && !in_reference) p.flags |= kKlReverseInfinite;
  if (in_reference && !in_policy) p.flags |= kKlForwardInfinite;
}

__device__ inline RowPartial reduce_lanes(RowPartial p, const detail::Centre& centre) {
  p.S = warp_sum(p.S);
  p.M = warp_sum(p.M);
  p.K = warp_sum(p.K);
  p.F = warp_sum(p.F);
  p.T = warp_sum(p.T);
  p.E = warp_sum(p.E);
  p.R = warp_sum(p.R);
  p.flags = __reduce_or_sync(kFullWarp, p.flags);
  p.exponent = centre.exponent;
  p.reference_exponent = centre.reference_exponent;
  p.pivot = centre.pivot;
  return p;
}

__device__ inline RowPartial sum_slice(const SliceColumns& slice, const Scales& scales, const detail::Centre& centre) {
  RowPartial p;
  for (std::int64_t i = threadIdx.x % 32; i < slice.columns; i += 32) {
    const double xa = slice.a(i), xb = slice.b(i);
    const Scaled a = scale_logit(xa, scales.policy), b = scale_logit(xb, scales.reference);
    const double above = above_reference(a.high, centre.exponent) + a.low;
    const double above_b = (above_reference(b.high, centre.reference_exponent) + b.low) - centre.pivot;
    const double u = centred_difference(a, b, centre.reference_exponent - centre.exponent, centre.pivot);
    add_column(p, exp(above), exp(above_b), u, above, above_b, xa > -kInfinity, xb > -kInfinity);
  }
  return reduce_lanes(p, centre);
}

// Logits so large that their distance to a multiple of ln 2 means nothing (finfo.min as a mask) are taken relative to
// the slice's own maximum instead; equal ones then still weigh the same.
__device__ inline bool is_huge(double top) { return fabs(top) >= 0x1p50; }

__device__ inline double above_top(double x, double top, double exponent) {
  return is_huge(top) ? x - top : above_reference(x, exponent);
}

__device__ inline RowPartial sum_huge_slice(const SliceColumns& slice, const Scales& scales, double top_policy,
                                            double top_reference, const detail::Centre& centre) {
  RowPartial p;
  for (std::int64_t i = threadIdx.x % 32; i < slice.columns; i += 32) {
    const double xa = slice.a(i), xb = slice.b(i);
    const bool in_policy = xa > -kInfinity, in_reference = xb > -kInfinity;
    const double above = above_top(fmax(-kLargest, scales.policy * xa), top_policy, centre.exponent);
    const double above_b = above_top(fmax(-kLargest, scales.reference * xb), top_reference, centre.reference_exponent);
    const double u = fmax(-kLargest, fmin(above_b - above, kLargest));
    add_column(p, in_policy ? exp(above) : 0.0, in_reference ? exp(above_b) : 0.0, u, above, above_b, in_policy,
               in_reference);
  }
  return reduce_lanes(p, centre);
}

/// A pivot is right if shifting it later cancels no more than a digit; otherwise the slice is summed again.
__device__ inline bool pivot_near(const RowPartial& p) {
  return fabs(p.M) < kInfinity && p.M >= -0.75 * p.S && p.M <= 3.0 * p.S;
}
__device__ inline bool pivot_accepted(const RowPartial& p) {
  return fabs(p.M + p.F + p.R) < kInfinity && pivot_near(p) &&
         p.M * p.M <= 1.5 * fmin(p.S, p.S + p.M) * fmin(p.K, p.F);
}

__device__ inline double reference_of(double top) {
  // The clamp matters for fp64 logits near the end of the range alone, where log2 e * top overflows.
  return fmax(-1.7e308, fmin(rint(top / kLn2), 1.7e308));
}

// The centre that makes the largest logits of both sides meet. A moderate offset stays whole in the pivot, where it
// is exact; a large one goes to the exponents.
__device__ inline detail::Centre centre_on_maxima(double exponent, double top_policy, double top_reference) {
  constexpr double kModerate = 1024.0;
  const double offset = top_reference - top_policy;
  if (fabs(offset) < kModerate) return {exponent, exponent, offset};
  const double reference_exponent = reference_of(top_reference);
  return {exponent, reference_exponent,
          above_top(top_reference, 0.0, reference_exponent) - above_top(top_policy, 0.0, exponent)};
}

struct SliceExtremes {
  double max_policy, max_reference;        // before scaling
  std::int32_t first_invalid_policy, first_invalid_reference;  // columns of the slice, or kNoColumn
};

__device__ inline SliceExtremes find_extremes(const SliceColumns& slice) {
  SliceExtremes e{-kInfinity, -kInfinity, kNoColumn, kNoColumn};
  for (std::int64_t i = threadIdx.x % 32; i < slice.columns; i += 32) {
    const double a = slice.a(i), b = slice.b(i);
    const auto column = static_cast<std::int32_t>(i);
    if (!(a < kInfinity)) e.first_invalid_policy = min(e.first_invalid_policy, column);
    if (!(b < kInfinity)) e.first_invalid_reference = min(e.first_invalid_reference, column);
    e.max_policy = fmax(e.max_policy, a);
    e.max_reference = fmax(e.max_reference, b);
  }
  return {warp_max(e.max_policy), warp_max(e.max_reference), __reduce_min_sync(kFullWarp, e.first_invalid_policy),
          __reduce_min_sync(kFullWarp, e.first_invalid_reference)};
}

/// Partial of a slice; called by a whole warp, returned in every lane.
__device__ inline RowPartial slice_fp64(const SliceColumns& slice, const Scales& scales) {
  const SliceExtremes extremes = find_extremes(slice);
  RowPartial p;
  const std::int32_t invalid = min(extremes.first_invalid_policy, extremes.first_invalid_reference);
  if (invalid != kNoColumn) {
    if (extremes.first_invalid_policy != kNoColumn) p.flags |= kInvalidPolicy;
    if (extremes.first_invalid_reference != kNoColumn) p.flags |= kInvalidReference;
    p.invalid_column = static_cast<std::int32_t>(slice.begin) + invalid;
    return p;
  }
  const bool has_policy = extremes.max_policy > -kInfinity;
  const bool has_reference = extremes.max_reference > -kInfinity;
  if (!has_policy && !has_reference) return p;

  const double top_policy = fmax(-kLargest, fmin(scales.policy * extremes.max_policy, kLargest));
  const double top_reference = fmax(-kLargest, fmin(scales.reference * extremes.max_reference, kLargest));
  const double exponent = reference_of(has_policy ? top_policy : top_reference);
  if ((has_policy && is_huge(top_policy)) || (has_reference && is_huge(top_reference))) {
    p = sum_huge_slice(slice, scales, top_policy, top_reference,
                       {exponent, reference_of(has_reference ? top_reference : top_policy), 0.0});
  } else {
    detail::Centre centre{exponent, exponent, 0.0};
    p = sum_slice(slice, scales, centre);
    for (int redo = 0; redo < 2 && has_policy && has_reference && !pivot_accepted(p); ++redo) {
      if (pivot_near(p)) {
        centre.pivot += log1p(p.M / p.S);
      } else {
        centre = centre_on_maxima(exponent, top_policy, top_reference);
      }
      p = sum_slice(slice, scales, centre);
    }
  }
  if (has_policy) p.flags |= kPolicyHasMass;
  if (has_reference) p.flags |= kReferenceHasMass;
  return p;
}

}  // namespace klmesh::cuda
