// The extended partial of one canonical slice of one row; compiled once per SIMD target.

#if defined(KLMESH_CORE_CPU_SLICE_EXTENDED_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_EXTENDED_INL_H
#undef KLMESH_CORE_CPU_SLICE_EXTENDED_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_EXTENDED_INL_H
#endif

#include "core/cpu/slice_renyi-inl.h"
#include "core/cpu/vector_math-inl.h"
#include "klmesh/extended_partial.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// The logarithms of the terms of the three sums; -inf where a side has no mass: what is infinite then is told by the
// core partial's flags.
struct ExtendedTerms {
  V policy_squared, reference_squared, geometric;
};

template <bool kScaled>
HWY_INLINE ExtendedTerms extended_terms(D d, V va, V vb, const Scales& scales) {
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  const V huge = hn::Set(d, 1e15);  // far beyond what overflows, and still exact relative to ln 2
  const Mask both = hn::And(hn::Gt(va, minus_infinity), hn::Gt(vb, minus_infinity));
  const V a = scale<kScaled>(d, va, scales.policy).high;
  const V b = scale<kScaled>(d, vb, scales.reference).high;
  const auto bounded = [&](V x) KLMESH_INLINE_LAMBDA {
    return hn::IfThenElse(both, hn::Max(hn::Neg(huge), hn::Min(x, huge)), minus_infinity);
  };
  const V half = hn::Set(d, 0.5);
  return {bounded(hn::Add(a, hn::Sub(a, b))), bounded(hn::Add(b, hn::Sub(b, a))),
          bounded(hn::MulAdd(half, a, hn::Mul(half, b)))};
}

HWY_INLINE double sum_exponent(D d, V top) {
  const double value = hn::GetLane(hn::MaxOfLanes(d, top));
  return std::isinf(value) ? value : std::clamp(std::nearbyint(value / kLn2), -2.5e307, 2.5e307);
}

template <typename T>
std::int32_t first_equal(const T* x, std::int64_t columns, double value) {
  for (std::int64_t i = 0; i < columns; ++i) {
    if (static_cast<double>(x[i]) == value) return static_cast<std::int32_t>(i);
  }
  return -1;
}

/// Extended partial of columns [begin, begin + columns); the slice holds neither NaN nor +inf.
/// @param renyi_alpha NaN: no Renyi divergence was asked for
template <typename T, bool kScaled>
ExtendedPartial slice_extended(const T* a, const T* b, std::int64_t begin, std::int64_t columns,
                               const Scales& scales, double renyi_alpha) {
  const D d;
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  V top_a = minus_infinity, top_b = minus_infinity;
  ExtendedTerms top{minus_infinity, minus_infinity, minus_infinity};
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    const ExtendedTerms t = extended_terms<kScaled>(d, va, vb, scales);
    top_a = hn::Max(top_a, va);
    top_b = hn::Max(top_b, vb);
    top.policy_squared = hn::Max(top.policy_squared, t.policy_squared);
    top.reference_squared = hn::Max(top.reference_squared, t.reference_squared);
    top.geometric = hn::Max(top.geometric, t.geometric);
  });

  ExtendedPartial p;
  const double max_a = hn::GetLane(hn::MaxOfLanes(d, top_a));
  const double max_b = hn::GetLane(hn::MaxOfLanes(d, top_b));
  if (max_a > -HUGE_VAL) p.top_policy_column = static_cast<std::int32_t>(begin) + first_equal(a, columns, max_a);
  if (max_b > -HUGE_VAL) p.top_reference_column = static_cast<std::int32_t>(begin) + first_equal(b, columns, max_b);
  p.top_policy = max_a;
  p.top_reference = max_b;
  const double geometric_exponent = sum_exponent(d, top.geometric);
  if (std::isinf(geometric_exponent)) return p;  // no column has mass on both sides

  const V exponent_policy = hn::Set(d, sum_exponent(d, top.policy_squared));
  const V exponent_reference = hn::Set(d, sum_exponent(d, top.reference_squared));
  const V exponent_geometric = hn::Set(d, geometric_exponent);
  V policy_squared = hn::Zero(d), reference_squared = hn::Zero(d), geometric = hn::Zero(d);
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    const ExtendedTerms t = extended_terms<kScaled>(d, va, vb, scales);
    policy_squared = hn::Add(policy_squared, exp_any(d, above_reference(d, t.policy_squared, exponent_policy)));
    reference_squared =
        hn::Add(reference_squared, exp_any(d, above_reference(d, t.reference_squared, exponent_reference)));
    geometric = hn::Add(geometric, exp_any(d, above_reference(d, t.geometric, exponent_geometric)));
  });
  const auto total = [d](V v) { return hn::GetLane(hn::SumOfLanes(d, v)); };
  p.policy_squared = {total(policy_squared), hn::GetLane(exponent_policy)};
  p.reference_squared = {total(reference_squared), hn::GetLane(exponent_reference)};
  p.geometric = {total(geometric), hn::GetLane(exponent_geometric)};
  if (!std::isnan(renyi_alpha)) p.renyi = slice_renyi<T, kScaled>(a, b, columns, scales, renyi_alpha);
  return p;
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
