// The partial of one canonical slice of one row; compiled once per SIMD target. Every choice made here (reference,
// pivot, redo) is a function of the slice's own columns, so a slice has the same bits on every mesh.

#if defined(KLMESH_CORE_CPU_SLICE_PARTIAL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_PARTIAL_INL_H
#undef KLMESH_CORE_CPU_SLICE_PARTIAL_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_PARTIAL_INL_H
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// Calls body(a, b) for every vector of the slice; the last is padded with -inf.
template <typename T, typename Body>
HWY_INLINE void for_each_vector(const T* a, const T* b, std::int64_t columns, Body&& body) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) body(load(d, a + i), load(d, b + i));
  if (i == columns) return;
  T tail_a[kMaxLanes];
  T tail_b[kMaxLanes];
  std::fill_n(tail_a, lanes, -std::numeric_limits<T>::infinity());
  std::fill_n(tail_b, lanes, -std::numeric_limits<T>::infinity());
  std::copy(a + i, a + columns, tail_a);
  std::copy(b + i, b + columns, tail_b);
  body(load(d, tail_a), load(d, tail_b));
}

struct SliceExtremes {
  double max_policy;
  double max_reference;
  bool valid;  // neither NaN nor +inf
};

template <typename T>
HWY_INLINE SliceExtremes find_extremes(const T* a, const T* b, std::int64_t columns) {
  const D d;
  const V infinity = hn::Set(d, HUGE_VAL);
  V max_a = hn::Set(d, -HUGE_VAL);
  V max_b = max_a;
  V valid = hn::Set(d, 1.0);
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    // false for NaN and +inf
    valid = hn::IfThenElseZero(hn::And(hn::Lt(va, infinity), hn::Lt(vb, infinity)), valid);
    max_a = hn::Max(max_a, va);
    max_b = hn::Max(max_b, vb);
  });
  return {hn::GetLane(hn::MaxOfLanes(d, max_a)), hn::GetLane(hn::MaxOfLanes(d, max_b)),
          hn::GetLane(hn::MinOfLanes(d, valid)) == 1.0};
}

// Vector accumulators of the seven sums, and where one side alone has mass.
struct SliceSums {
  V S, M, K, F, T, E, R;
  V policy_only, reference_only;

  explicit HWY_INLINE SliceSums(D d)
      : S(hn::Zero(d)), M(S), K(S), F(S), T(S), E(S), R(S), policy_only(S), reference_only(S) {}

  // |u| < kNear in every lane: one exponential, and small terms throughout.
  HWY_INLINE void add_near(V w, V u, V above, V phi) {
    const V e1 = hn::Add(phi, u);
    const V we = hn::Mul(w, e1);
    S = hn::Add(S, w);
    M = hn::Add(M, we);
    K = hn::MulAdd(w, phi, K);
    F = hn::MulAdd(w, hn::MulSub(u, e1, phi), F);
    T = hn::MulAdd(w, u, T);
    E = hn::MulAdd(w, above, E);
    R = hn::MulAdd(hn::Add(w, we), hn::Add(above, u), R);
  }

  // Any lanes. w is 0 where the policy is -inf, v = e^(b - m - c) is 0 where the reference is.
  HWY_INLINE void add_any(D d, V w, V v, V u, V above, V above_reference_side, V phi, Mask near, Mask in_policy,
                          Mask in_reference) {
    const Mask both = hn::And(in_policy, in_reference);
    const V zero = hn::Zero(d);
    const V e1 = hn::Add(phi, u);
    const V wu = hn::IfThenElse(both, hn::Mul(w, u), zero);
    const V m_term = hn::IfThenElse(near, hn::Mul(w, e1), hn::Sub(v, w));
    const V k_any = hn::IfThenElse(both, hn::Sub(hn::Sub(v, w), wu), v);
    const V f_any = hn::IfThenElse(both, hn::MulAdd(hn::Sub(u, hn::Set(d, 1.0)), v, w), w);
    S = hn::Add(S, w);
    M = hn::Add(M, m_term);
    K = hn::Add(K, hn::IfThenElse(near, hn::Mul(w, phi), k_any));
    F = hn::Add(F, hn::IfThenElse(near, hn::Mul(w, hn::MulSub(u, e1, phi)), f_any));
    T = hn::Add(T, wu);
    E = hn::Add(E, hn::IfThenElse(in_policy, hn::Mul(w, above), zero));
    R = hn::Add(R, hn::IfThenElse(in_reference, hn::Mul(v, above_reference_side), zero));
    const V one = hn::Set(d, 1.0);
    policy_only = hn::Max(policy_only, hn::IfThenElseZero(hn::AndNot(in_reference, in_policy), one));
    reference_only = hn::Max(reference_only, hn::IfThenElseZero(hn::AndNot(in_policy, in_reference), one));
  }

  HWY_INLINE RowPartial reduce(D d, double exponent, double pivot) const {
    const auto total = [d](V v) { return hn::GetLane(hn::SumOfLanes(d, v)); };
    RowPartial p;
    p.S = total(S);
    p.M = total(M);
    p.K = total(K);
    p.F = total(F);
    p.T = total(T);
    p.E = total(E);
    p.R = total(R);
    p.exponent = exponent;
    p.pivot = pivot;
    if (hn::GetLane(hn::MaxOfLanes(d, policy_only)) != 0.0) p.flags |= kKlReverseInfinite;
    if (hn::GetLane(hn::MaxOfLanes(d, reference_only)) != 0.0) p.flags |= kKlForwardInfinite;
    return p;
  }
};

template <typename T>
HWY_INLINE RowPartial sum_slice(const T* a, const T* b, std::int64_t columns, double exponent, double pivot) {
  const D d;
  const V v_exponent = hn::Set(d, exponent);
  const V v_pivot = hn::Set(d, pivot);
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  const V near_bound = hn::Set(d, kNear);
  const V huge = hn::Set(d, std::numeric_limits<double>::max());
  SliceSums sums(d);
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    const V above = above_reference(d, va, v_exponent);
    const V u = centred_difference<T>(d, va, vb, v_pivot);
    const V w = exp_any(d, above);
    const Mask near = hn::Lt(hn::Abs(u), near_bound);  // false where either is -inf (u is infinite or NaN)
    if (HWY_LIKELY(hn::AllTrue(d, near))) {
      sums.add_near(w, u, above, expm1_minus(d, u));
      return;
    }
    const Mask in_policy = hn::Gt(va, minus_infinity);
    const Mask in_reference = hn::Gt(vb, minus_infinity);
    const V bounded = hn::IfThenElseZero(hn::And(in_policy, in_reference), hn::Max(hn::Neg(huge), hn::Min(u, huge)));
    const V above_b = hn::Sub(above_reference(d, vb, v_exponent), v_pivot);
    const V near_u = hn::IfThenElseZero(near, u);
    const V phi = expm1_minus(d, near_u);
    sums.add_any(d, w, exp_any(d, above_b), hn::IfThenElse(near, near_u, bounded), above, above_b, phi, near,
                 in_policy, in_reference);
  });
  return sums.reduce(d, exponent, pivot);
}

// A pivot is right if shifting it later cancels no more than a digit; otherwise the slice is summed again.
HWY_INLINE bool pivot_accepted(const RowPartial& p) {
  const double reference = p.S + p.M;
  if (!std::isfinite(p.M + p.F + p.R)) return false;
  return p.M * p.M <= 1.5 * std::min(p.S, reference) * std::min(p.K, p.F) && p.M >= -0.75 * p.S &&
         p.M <= 3.0 * p.S;
}

template <typename T>
std::int32_t first_invalid(const T* x, std::int64_t columns) {
  for (std::int64_t i = 0; i < columns; ++i) {
    if (!(x[i] < std::numeric_limits<T>::infinity())) return static_cast<std::int32_t>(i);
  }
  return std::numeric_limits<std::int32_t>::max();
}

template <typename T>
RowPartial invalid_slice(const T* a, const T* b, std::int64_t begin, std::int64_t columns) {
  constexpr std::int32_t none = std::numeric_limits<std::int32_t>::max();
  const std::int32_t in_policy = first_invalid(a, columns);
  const std::int32_t in_reference = first_invalid(b, columns);
  RowPartial p;
  if (in_policy != none) p.flags |= kInvalidPolicy;
  if (in_reference != none) p.flags |= kInvalidReference;
  p.invalid_column = static_cast<std::int32_t>(begin + std::min(in_policy, in_reference));
  return p;
}

/// Partial of columns [begin, begin + columns) of the vocabulary; `a` and `b` point at the first of them.
template <typename T>
RowPartial slice_partial(const T* a, const T* b, std::int64_t begin, std::int64_t columns) {
  const SliceExtremes extremes = find_extremes(a, b, columns);
  if (!extremes.valid) return invalid_slice(a, b, begin, columns);
  const bool has_policy = extremes.max_policy > -HUGE_VAL;
  const bool has_reference = extremes.max_reference > -HUGE_VAL;
  if (!has_policy && !has_reference) return {};

  const double top = has_policy ? extremes.max_policy : extremes.max_reference;
  // The clamp matters for fp64 logits near the end of the range alone, where log2 e * top overflows.
  const double exponent = std::clamp(std::nearbyint(top / kLn2), -2.5e307, 2.5e307);
  double pivot = 0.0;
  RowPartial p = sum_slice(a, b, columns, exponent, pivot);
  for (int redo = 0; redo < 2 && has_policy && has_reference && !pivot_accepted(p); ++redo) {
    const double reference = p.S + p.M;
    const bool near_enough = std::isfinite(p.M) && reference >= 0.25 * p.S && p.M <= 3.0 * p.S;
    const double next = near_enough ? pivot + std::log1p(p.M / p.S) : extremes.max_reference - extremes.max_policy;
    if (next == pivot) break;
    pivot = next;
    p = sum_slice(a, b, columns, exponent, pivot);
  }
  if (has_policy) p.flags |= kPolicyHasMass;
  if (has_reference) p.flags |= kReferenceHasMass;
  return p;
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
