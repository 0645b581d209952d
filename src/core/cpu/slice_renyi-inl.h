// The Renyi sum of one canonical slice of one row; compiled once per SIMD target.

#if defined(KLMESH_CORE_CPU_SLICE_RENYI_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_RENYI_INL_H
#undef KLMESH_CORE_CPU_SLICE_RENYI_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_RENYI_INL_H
#endif

#include "core/cpu/vector_math-inl.h"
#include "klmesh/extended_partial.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// alpha a + (1 - alpha) b, written so that equal logits give themselves; -inf where a side has no mass: what is
// infinite then is told by the core partial's flags. Finite for finite logits, as the logarithm of the sum is.
template <bool kScaled>
HWY_INLINE V renyi_term(D d, V va, V vb, const Scales& scales, V weight) {
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  const V largest = hn::Set(d, 1e300);
  const Mask both = hn::And(hn::Gt(va, minus_infinity), hn::Gt(vb, minus_infinity));
  const V a = scale<kScaled>(d, va, scales.policy).high;
  const V b = scale<kScaled>(d, vb, scales.reference).high;
  const V term = hn::MulAdd(weight, hn::Sub(b, a), a);
  return hn::IfThenElse(both, hn::Max(hn::Neg(largest), hn::Min(term, largest)), minus_infinity);
}

/// sum e^(alpha a + (1 - alpha) b) over the columns; the slice holds neither NaN nor +inf.
template <typename T, bool kScaled>
ScaledSum slice_renyi(const T* a, const T* b, std::int64_t columns, const Scales& scales, double alpha) {
  const D d;
  const V weight = hn::Set(d, 1.0 - alpha);
  V top_terms = hn::Set(d, -HUGE_VAL);
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    top_terms = hn::Max(top_terms, renyi_term<kScaled>(d, va, vb, scales, weight));
  });
  const double top = hn::GetLane(hn::MaxOfLanes(d, top_terms));
  if (std::isinf(top)) return {};  // no column has mass on both sides

  // Where the terms' distance to a multiple of ln 2 means nothing (a finite mask as -1e38 in the reference alone),
  // they are taken relative to the largest one.
  const bool huge = std::fabs(top) >= 1e15;
  const double exponent = std::nearbyint(top / kLn2);
  V sum = hn::Zero(d);
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    const V term = renyi_term<kScaled>(d, va, vb, scales, weight);
    const V above = huge ? hn::Sub(term, hn::Set(d, top)) : above_reference(d, term, hn::Set(d, exponent));
    sum = hn::Add(sum, exp_any(d, above));
  });
  return {hn::GetLane(hn::SumOfLanes(d, sum)), exponent};
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
