// The extended partial of one canonical slice of one row in fp64, by one warp; the algorithm of cpu/slice_extended-inl.h.
#pragma once

#include "core/cuda/slice_fp64.cuh"
#include "klmesh/extended_partial.hpp"

namespace klmesh::cuda {

// The logarithms of the terms of the sums; -inf where a side has no mass: what is infinite then is told by the core
// partial's flags.
struct ExtendedTerms {
  double policy_squared, reference_squared, geometric, renyi;
};

struct ExtendedOptions {
  Scales scales;
  double renyi_alpha;  // NaN: no Renyi divergence was asked for
};

__device__ inline ExtendedTerms extended_terms(double xa, double xb, const ExtendedOptions& options) {
  if (!(xa > -kInfinity) || !(xb > -kInfinity)) return {-kInfinity, -kInfinity, -kInfinity, -kInfinity};
  const auto bounded = [](double x, double bound) { return fmax(-bound, fmin(x, bound)); };
  constexpr double kHuge = 1e15;  // far beyond what overflows, and still exact relative to ln 2
  const double a = scale_logit(xa, options.scales.policy).high;
  const double b = scale_logit(xb, options.scales.reference).high;
  return {bounded(a + (a - b), kHuge), bounded(b + (b - a), kHuge), bounded(__fma_rn(0.5, a, 0.5 * b), kHuge),
          bounded(__fma_rn(1.0 - options.renyi_alpha, b - a, a), 1e300)};
}

// One sum of a slice: where its exponent is put, and the lane's terms.
struct LaneSum {
  double top, exponent, sum = 0.0;
  bool huge;  // the terms' distance to a multiple of ln 2 means nothing: they are taken relative to the largest one

  // By the largest term of any lane.
  __device__ explicit LaneSum(double lane_top)
      : top(warp_max(lane_top)), exponent(rint(top / kLn2)), huge(fabs(top) > 1e15) {}
  __device__ void add(double term) { sum += exp(huge ? term - top : above_reference(term, exponent)); }
  __device__ ScaledSum reduce() const { return {warp_sum(sum), exponent}; }
};

/// Extended partial of a slice; called by a whole warp, returned in every lane. Empty for a slice with NaN or +inf.
__device__ inline ExtendedPartial extended_fp64(const SliceColumns& slice, const ExtendedOptions& options) {
  ExtendedPartial p;
  const bool with_renyi = !isnan(options.renyi_alpha);
  ExtendedTerms top{-kInfinity, -kInfinity, -kInfinity, -kInfinity};
  std::int32_t column_a = kNoColumn, column_b = kNoColumn;
  bool valid = true;
  for (std::int64_t i = threadIdx.x % 32; i < slice.columns; i += 32) {
    const double a = slice.a(i), b = slice.b(i);
    valid = valid && a < kInfinity && b < kInfinity;
    const ExtendedTerms t = extended_terms(a, b, options);
    top.policy_squared = fmax(top.policy_squared, t.policy_squared);
    top.reference_squared = fmax(top.reference_squared, t.reference_squared);
    top.geometric = fmax(top.geometric, t.geometric);
    top.renyi = fmax(top.renyi, t.renyi);
    if (a > p.top_policy) {
      p.top_policy = a;
      column_a = static_cast<std::int32_t>(i);
    }
    if (b > p.top_reference) {
      p.top_reference = b;
      column_b = static_cast<std::int32_t>(i);
    }
  }
  if (!__all_sync(kFullWarp, valid)) return ExtendedPartial{};

  // The lowest column of the largest logit: a lane holds its own lowest.
  const auto lowest_column = [&slice](double& top_value, std::int32_t column) {
    const double largest = warp_max(top_value);
    const std::int32_t lowest = __reduce_min_sync(kFullWarp, top_value == largest ? column : kNoColumn);
    top_value = largest;
    return largest > -kInfinity ? static_cast<std::int32_t>(slice.begin) + lowest : -1;
  };
  p.top_policy_column = lowest_column(p.top_policy, column_a);
  p.top_reference_column = lowest_column(p.top_reference, column_b);
  LaneSum policy_squared(top.policy_squared), reference_squared(top.reference_squared), geometric(top.geometric);
  LaneSum renyi(top.renyi);
  if (isinf(geometric.top)) return p;  // no column has mass on both sides

  for (std::int64_t i = threadIdx.x % 32; i < slice.columns; i += 32) {
    const ExtendedTerms t = extended_terms(slice.a(i), slice.b(i), options);
    policy_squared.add(t.policy_squared);
    reference_squared.add(t.reference_squared);
    geometric.add(t.geometric);
    if (with_renyi) renyi.add(t.renyi);
  }
  p.policy_squared = policy_squared.reduce();
  p.reference_squared = reference_squared.reduce();
  p.geometric = geometric.reduce();
  if (with_renyi) p.renyi = renyi.reduce();
  return p;
}

}  // namespace klmesh::cuda
