// The partial of one canonical slice of one row; compiled once per SIMD target. Every choice made here (reference,
// pivot, redo) is a function of the slice's own columns, so a slice has the same bits on every mesh.

#if defined(KLMESH_CORE_CPU_SLICE_PARTIAL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_PARTIAL_INL_H
#undef KLMESH_CORE_CPU_SLICE_PARTIAL_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_PARTIAL_INL_H
#endif

#include "core/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

inline constexpr double kLargest = std::numeric_limits<double>::max();

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

  HWY_INLINE RowPartial reduce(D d, const detail::Centre& centre) const {
    const auto total = [d](V v) { return hn::GetLane(hn::SumOfLanes(d, v)); };
    RowPartial p;
    p.S = total(S);
    p.M = total(M);
    p.K = total(K);
    p.F = total(F);
    p.T = total(T);
    p.E = total(E);
    p.R = total(R);
    p.exponent = centre.exponent;
    p.reference_exponent = centre.reference_exponent;
    p.pivot = centre.pivot;
    if (hn::GetLane(hn::MaxOfLanes(d, policy_only)) != 0.0) p.flags |= kKlReverseInfinite;
    if (hn::GetLane(hn::MaxOfLanes(d, reference_only)) != 0.0) p.flags |= kKlForwardInfinite;
    return p;
  }
};

template <typename T, bool kScaled>
HWY_INLINE RowPartial sum_slice(const T* a, const T* b, std::int64_t columns, const Scales& scales,
                                const detail::Centre& centre) {
  const D d;
  const V exponent = hn::Set(d, centre.exponent);
  const V reference_exponent = hn::Set(d, centre.reference_exponent);
  const V steps = hn::Set(d, centre.reference_exponent - centre.exponent);
  const V pivot = hn::Set(d, centre.pivot);
  const V minus_infinity = hn::Set(d, -HUGE_VAL);
  const V near_bound = hn::Set(d, kNear);
  const V huge = hn::Set(d, std::numeric_limits<double>::max());
  SliceSums sums(d);
  for_each_vector(a, b, columns, [&](V va, V vb) KLMESH_INLINE_LAMBDA {
    const Scaled sa = scale<kScaled>(d, va, scales.policy);
    const Scaled sb = scale<kScaled>(d, vb, scales.reference);
    const V above = above_reference<kScaled>(d, sa, exponent);
    const V u = centred_difference<T, kScaled>(d, sa, sb, steps, pivot);
    const V w = exp_any(d, above);
    const Mask near = hn::Lt(hn::Abs(u), near_bound);  // false where either is -inf (u is infinite or NaN)
    if (HWY_LIKELY(hn::AllTrue(d, near))) {
      sums.add_near(w, u, above, expm1_minus(d, u));
      return;
    }
    const Mask in_policy = hn::Gt(va, minus_infinity);
    const Mask in_reference = hn::Gt(vb, minus_infinity);
    const V bounded = hn::IfThenElseZero(hn::And(in_policy, in_reference), hn::Max(hn::Neg(huge), hn::Min(u, huge)));
    const V above_b = hn::Sub(above_reference<kScaled>(d, sb, reference_exponent), pivot);
    const V near_u = hn::IfThenElseZero(near, u);
    const V phi = expm1_minus(d, near_u);
    sums.add_any(d, w, exp_any(d, above_b), hn::IfThenElse(near, near_u, bounded), above, above_b, phi, near,
                 in_policy, in_reference);
  });
  return sums.reduce(d, centre);
}

// Logits so large that their distance to a multiple of ln 2 means nothing (finfo.min as a mask) are taken relative to
// the slice's own maximum instead; equal ones then still weigh the same. Rare, so plain.
inline bool is_huge(double top) { return std::fabs(top) >= 0x1p50; }

inline double above_top(double x, double top, double exponent) {
  return is_huge(top) ? x - top : std::fma(-exponent, kLn2Low, std::fma(-exponent, kLn2, x));
}

template <typename T>
RowPartial sum_huge_slice(const T* a, const T* b, std::int64_t columns, const Scales& scales, double top_policy,
                          double top_reference, const detail::Centre& centre) {
  RowPartial p;
  p.exponent = centre.exponent;
  p.reference_exponent = centre.reference_exponent;
  for (std::int64_t i = 0; i < columns; ++i) {
    const bool in_policy = a[i] > -std::numeric_limits<T>::infinity();
    const bool in_reference = b[i] > -std::numeric_limits<T>::infinity();
    const double above = above_top(std::max(-kLargest, scales.policy * static_cast<double>(a[i])), top_policy, centre.exponent);
    const double above_b = above_top(std::max(-kLargest, scales.reference * static_cast<double>(b[i])), top_reference,
                                     centre.reference_exponent);
    const double w = in_policy ? std::exp(above) : 0.0;
    const double v = in_reference ? std::exp(above_b) : 0.0;
    const double u = in_policy && in_reference ? std::clamp(above_b - above, -kLargest, kLargest) : 0.0;
    const bool near = in_policy && in_reference && std::fabs(u) < kNear;
    const double excess = near ? std::expm1(u) - u : 0.0;
    p.S += w;
    p.M += near ? w * (excess + u) : v - w;
    p.K += near ? w * excess : in_policy && in_reference ? v - w - w * u : v;
    p.F += near ? w * (u * (excess + u) - excess) : in_policy && in_reference ? w + (u - 1.0) * v : w;
    p.T += w * u;
    if (w > 0.0) p.E += w * above;
    if (v > 0.0) p.R += v * above_b;
    if (in_policy && !in_reference) p.flags |= kKlReverseInfinite;
    if (in_reference && !in_policy) p.flags |= kKlForwardInfinite;
  }
  return p;
}

// A pivot is right if shifting it later cancels no more than a digit; otherwise the slice is summed again. A divergence
// that is infinite has no digits to lose.
HWY_INLINE bool pivot_accepted(const RowPartial& p) {
  const double reference = p.S + p.M;
  if (!std::isfinite(p.M + p.F + p.R)) return false;
  const double reverse = (p.flags & kKlReverseInfinite) != 0 ? HUGE_VAL : p.K;
  const double forward = (p.flags & kKlForwardInfinite) != 0 ? HUGE_VAL : p.F;
  return p.M * p.M <= 1.5 * std::min(p.S, reference) * std::min(reverse, forward) && p.M >= -0.75 * p.S &&
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

inline double reference_of(double top) {
  // The clamp matters for fp64 logits near the end of the range alone, where log2 e * top overflows.
  return std::clamp(std::nearbyint(top / kLn2), -1.7e308, 1.7e308);
}

// The centre that makes the largest logits of both sides meet. A moderate offset stays whole in the pivot, where it
// is exact; a large one goes to the exponents.
inline detail::Centre centre_on_maxima(double exponent, double top_policy, double top_reference) {
  constexpr double kModerate = 1024.0;
  const double offset = top_reference - top_policy;
  if (std::fabs(offset) < kModerate) return {exponent, exponent, offset};
  const double reference_exponent = reference_of(top_reference);
  return {exponent, reference_exponent,
          above_top(top_reference, 0.0, reference_exponent) - above_top(top_policy, 0.0, exponent)};
}

/// Partial of columns [begin, begin + columns) of the vocabulary; `a` and `b` point at the first of them.
template <typename T, bool kScaled>
RowPartial slice_partial(const T* a, const T* b, std::int64_t begin, std::int64_t columns, const Scales& scales) {
  const SliceExtremes extremes = find_extremes(a, b, columns);
  if (!extremes.valid) return invalid_slice(a, b, begin, columns);
  const bool has_policy = extremes.max_policy > -HUGE_VAL;
  const bool has_reference = extremes.max_reference > -HUGE_VAL;
  if (!has_policy && !has_reference) return {};

  const double top_policy = std::clamp(scales.policy * extremes.max_policy, -kLargest, kLargest);
  const double top_reference = std::clamp(scales.reference * extremes.max_reference, -kLargest, kLargest);
  const double exponent = reference_of(has_policy ? top_policy : top_reference);
  RowPartial p;
  if ((has_policy && is_huge(top_policy)) || (has_reference && is_huge(top_reference))) {
    p = sum_huge_slice(a, b, columns, scales, top_policy, top_reference,
                       {exponent, reference_of(has_reference ? top_reference : top_policy), 0.0});
  } else {
    detail::Centre centre{exponent, exponent, 0.0};
    p = sum_slice<T, kScaled>(a, b, columns, scales, centre);
    for (int redo = 0; redo < 2 && has_policy && has_reference && !pivot_accepted(p); ++redo) {
      const bool near_enough = std::isfinite(p.M) && p.M >= -0.75 * p.S && p.M <= 3.0 * p.S;
      if (near_enough) {
        centre.pivot += std::log1p(p.M / p.S);
      } else {
        centre = centre_on_maxima(exponent, top_policy, top_reference);
      }
      p = sum_slice<T, kScaled>(a, b, columns, scales, centre);
    }
  }
  if (has_policy) p.flags |= kPolicyHasMass;
  if (has_reference) p.flags |= kReferenceHasMass;
  return p;
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
