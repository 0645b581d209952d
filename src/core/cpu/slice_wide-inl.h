// The seven sums of one slice in fp32, whatever its columns hold; compiled once per SIMD target.
//
// Columns with |u| < 1 are summed by small terms, as in slice_near-inl.h; the others from two exponentials, of w and of
// v = w e^u, which differ so much there that little cancels.

#if defined(KLMESH_CORE_CPU_SLICE_WIDE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_WIDE_INL_H
#undef KLMESH_CORE_CPU_SLICE_WIDE_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_WIDE_INL_H
#endif

#include "core/cpu/slice_near-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// As in RowPartial; E and R in powers of two: E = sum w t, R = sum v t', with t' = t + u / ln 2.
struct WideSums {
  VF S, M, K, F, T, E, R;

  explicit HWY_INLINE WideSums(DF d) : S(hn::Zero(d)), M(S), K(S), F(S), T(S), E(S), R(S) {}
  explicit HWY_INLINE WideSums(const NearSums& x)
      : S(x.S), M(x.M), K(x.K), F(hn::Sub(x.U, x.K)), T(hn::Sub(x.M, x.K)), E(x.E),
        R(hn::MulAdd(hn::Set(DF(), kLog2e), hn::Add(T, x.U), hn::Add(x.E, x.R))) {}

  HWY_INLINE void add(const WideSums& x) {
    S = hn::Add(S, x.S);
    M = hn::Add(M, x.M);
    K = hn::Add(K, x.K);
    F = hn::Add(F, x.F);
    T = hn::Add(T, x.T);
    E = hn::Add(E, x.E);
    R = hn::Add(R, x.R);
  }
};

// kMasked: logits may be -inf, or so low that their t overflows. Where the reference alone has no mass, what is added to K
// is wrong, where the policy alone has none, what is added to F: the divergences that they are for are infinite then.
template <bool kPivot, bool kMasked>
class WideLoop {
 public:
  HWY_INLINE WideLoop(const FloatCentre& centre, WideSums& sums, Unmatched& unmatched)
      : top_(hn::Set(d_, centre.top)), pivot_(hn::Set(d_, centre.pivot)), lanes_(d_), sums_(sums), unmatched_(unmatched) {
    const float top_reference = centre.top + centre.pivot;
    const double rest = (static_cast<double>(top_reference) - static_cast<double>(centre.top)) - static_cast<double>(centre.pivot);
    top_reference_ = hn::Set(d_, top_reference);
    rest_ = hn::Set(d_, static_cast<float>(rest / kLn2));
  }

  HWY_INLINE void add(const TwoVectors& a, const TwoVectors& b) {
    add(a.first, b.first);
    add(a.second, b.second);
  }
  HWY_INLINE void add(VF a, VF b) { add_centred(a, b, kPivot ? exact_difference(a, b, pivot_) : hn::Sub(b, a)); }
  // Of which `count` lanes count; the others carry no weight.
  HWY_INLINE void add_some(VF a, VF b, std::size_t) { add(a, b); }
  // Moves what was added to the sums, unless it holds what kMasked alone can take.
  HWY_INLINE bool flush() {
    if constexpr (!kMasked) {
      const VF zero = hn::Zero(d_);
      if (HWY_UNLIKELY(!hn::AllTrue(d_, hn::Eq(hn::Mul(zero, hn::Add(lanes_.T, lanes_.E)), zero)))) return false;
    }
    sums_.add(lanes_);
    lanes_ = WideSums(d_);
    return true;
  }

 private:
  HWY_INLINE void add_centred(VF a, VF b, VF u) {
    const VF log2e = hn::Set(d_, kLog2e);
    VF t = hn::Mul(hn::Sub(a, top_), log2e);
    VF t_reference = hn::Sub(b, top_reference_);
    t_reference = kPivot ? hn::MulAdd(t_reference, log2e, rest_) : hn::Mul(t_reference, log2e);
    const auto small = hn::Lt(hn::Abs(u), hn::Set(d_, kSmallU));  // false where either is -inf
    if constexpr (kMasked) {
      const VF gone = hn::Set(d_, -HUGE_VALF), lowest = hn::Set(d_, kNoWeightT);
      const auto in_policy = hn::Ne(a, gone), in_reference = hn::Ne(b, gone);  // NaN is, to be seen
      u = hn::IfThenElseZero(hn::And(in_policy, in_reference), u);
      t = hn::Max(lowest, t);
      t_reference = hn::Max(lowest, t_reference);
      unmatched_.see(in_policy, in_reference);
    }
    const VF w = exp2_bounded(d_, t), v = exp2_bounded(d_, t_reference);
    const VF wu = hn::Mul(w, u);
    const VF small_wphi = hn::Mul(wu, hn::Mul(u, phi_ratio_small(d_, u)));
    const VF small_we = hn::Add(wu, small_wphi);
    const VF we = hn::IfThenElse(small, small_we, hn::Sub(v, w));
    const VF wphi = hn::IfThenElse(small, small_wphi, hn::Sub(we, wu));
    // u w e^u - w expm1(u), without what cancels
    const VF f = hn::MulSub(u, hn::IfThenElse(small, small_we, v), hn::IfThenElse(small, small_wphi, we));
    lanes_.S = hn::Add(lanes_.S, w);
    lanes_.M = hn::Add(lanes_.M, we);
    lanes_.K = hn::Add(lanes_.K, wphi);
    lanes_.F = hn::Add(lanes_.F, f);
    lanes_.T = hn::Add(lanes_.T, wu);
    lanes_.E = hn::MulAdd(w, t, lanes_.E);
    lanes_.R = hn::MulAdd(v, t_reference, lanes_.R);
  }

  DF d_;
  VF top_, pivot_, top_reference_, rest_;
  WideSums lanes_;
  WideSums& sums_;
  Unmatched& unmatched_;
};

HWY_INLINE void store(const WideSums& s, FewLanes& lanes) { lanes.store(s.S, s.M, s.K, s.F, s.E, s.R, s.T); }

/// @returns false if the sums are not good
HWY_INLINE bool wide_partial(const FewLanes& lanes, const FloatCentre& centre, const TopScale& scale,
                             std::uint32_t flags, std::size_t columns, RowPartial& p) {
  const double E = lanes.total(4), R = lanes.total(5), factor = scale.factor;
  p = {};
  p.S = factor * (lanes.total(0) + kLog2eError * E);
  p.M = factor * (lanes.total(1) + kLog2eError * (R - E));
  p.K = factor * lanes.total(2);
  p.F = factor * lanes.total(3);
  p.T = factor * lanes.total(6);
  p.E = factor * (kLn2 * E) + scale.above * p.S;
  p.R = factor * (kLn2 * R) + scale.above * (p.S + p.M);
  p.exponent = p.reference_exponent = scale.exponent;
  p.pivot = static_cast<double>(centre.pivot);
  p.flags = flags;
  return weights_are_good(lanes.total(0), E, columns) && std::isfinite(p.M + p.K + p.F + p.T + p.R);
}

// The largest policy logit.
template <typename T>
HWY_INLINE float find_top(const Pairs<T>& pairs) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  VF top = hn::Set(d, -HUGE_VALF);
  std::size_t i = 0;
  for (; i + 2 * lanes <= pairs.columns; i += 2 * lanes) {
    const TwoVectors a = load_two(d, pairs.a + i);
    top = hn::Max(top, hn::Max(a.first, a.second));
  }
  for (; i < pairs.columns; i += lanes) {
    const std::size_t count = std::min(lanes, pairs.columns - i);
    top = hn::Max(top, hn::IfThenElse(hn::FirstN(d, count), load_some(d, pairs.a + i, count), top));
  }
  return hn::GetLane(hn::MaxOfLanes(d, top));
}

// Whether a divergence of a slice, once its pivot is right, is no mere rest of what it is formed from.
// @param infinite not 0: a column of one side alone makes it infinite, and its value doesn't matter
HWY_INLINE bool divergence_stands(double value, double moment, std::uint32_t infinite) {
  return infinite != 0 || value >= 0.1 * std::max(1.0, std::fabs(moment));
}

// @param top the slice's largest policy logit. Where it has nearly all weight, T has no digits left for the others.
HWY_INLINE bool wide_accepted(const RowPartial& p, double top) {
  constexpr double kTail = 0.1;
  const double reference = p.S + p.M;
  if (!(p.M >= -0.75 * p.S)) return false;
  if (pivot_accepted(p)) return true;
  if (!(p.S >= (1.0 + kTail) * std::exp(top - p.exponent * kLn2))) return false;
  const double log_ratio = std::log(reference / p.S), T = p.T / p.S, G = (p.F + p.M) / reference;
  return divergence_stands(log_ratio - T, T, p.flags & kKlReverseInfinite) &&
         divergence_stands(G - log_ratio, G, p.flags & kKlForwardInfinite);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
