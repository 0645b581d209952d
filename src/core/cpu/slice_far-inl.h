// The six sums of one slice in fp32 where policy and reference share little; compiled once per SIMD target.
//
// Each side relative to its own largest logit, w = e^(a - top), v = e^(b - top'):
//   S = sum w, V = sum v, T = sum w d, G = sum v d', E = sum w (a - top), R = sum v (b - top').
// d is b - a less what it is at the policy's largest logit, d' less what it is at the reference's: a token that has nearly
// all weight then rounds nothing off, and the gradient, which knows the others by what they differ from the mean, stays
// good. Divergences are differences of these sums: good where little cancels.

#if defined(KLMESH_CORE_CPU_SLICE_FAR_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_FAR_INL_H
#undef KLMESH_CORE_CPU_SLICE_FAR_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_FAR_INL_H
#endif

#include "core/cpu/slice_wide-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// The largest logit of both sides, and what the other side has in that column; -inf: that side has no mass.
struct FarTops {
  float policy, reference;
  float reference_there, policy_there;
};

template <typename T>
HWY_INLINE FarTops find_tops(const Pairs<T>& pairs) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  const VF gone = hn::Set(d, -HUGE_VALF);
  VF a = gone, b = gone, other_a = gone, other_b = gone;
  const auto look = [&](VF x, VF y) KLMESH_INLINE_LAMBDA {
    const auto higher_a = hn::Gt(x, a), higher_b = hn::Gt(y, b);
    other_b = hn::IfThenElse(higher_a, y, other_b);
    other_a = hn::IfThenElse(higher_b, x, other_a);
    a = hn::Max(a, x);
    b = hn::Max(b, y);
  };
  std::size_t i = 0;
  for (; i + 2 * lanes <= pairs.columns; i += 2 * lanes) {
    const TwoVectors x = load_two(d, pairs.a + i), y = load_two(d, pairs.b + i);
    look(x.first, y.first);
    look(x.second, y.second);
  }
  for (; i < pairs.columns; i += lanes) {
    const std::size_t count = std::min(lanes, pairs.columns - i);
    const auto inside = hn::FirstN(d, count);
    look(hn::IfThenElse(inside, load_some(d, pairs.a + i, count), gone),
         hn::IfThenElse(inside, load_some(d, pairs.b + i, count), gone));
  }
  // Of equal largest logits any will do, and the same one always: the lane's first, the lanes' largest counterpart.
  const VF top_a = hn::MaxOfLanes(d, a), top_b = hn::MaxOfLanes(d, b);
  const auto counterpart = [&](VF there, VF top, VF tops, float otherwise) KLMESH_INLINE_LAMBDA {
    const float x = hn::GetLane(hn::MaxOfLanes(d, hn::IfThenElse(hn::Eq(tops, top), there, gone)));
    return std::fabs(x) < HUGE_VALF ? x : otherwise;
  };
  const float policy = hn::GetLane(top_a), reference = hn::GetLane(top_b);
  return {policy, reference, counterpart(other_b, top_a, a, reference), counterpart(other_a, top_b, b, policy)};
}

// kMasked scales T and G down, so that what a mask of finfo.min makes of them stays finite.
inline constexpr float kFarScale = 0x1p-12f;

struct FarSums {
  VF S, V, T, G, E, R;

  explicit HWY_INLINE FarSums(DF d) : S(hn::Zero(d)), V(S), T(S), G(S), E(S), R(S) {}

  HWY_INLINE void add(const FarSums& x) {
    S = hn::Add(S, x.S);
    V = hn::Add(V, x.V);
    T = hn::Add(T, x.T);
    G = hn::Add(G, x.G);
    E = hn::Add(E, x.E);
    R = hn::Add(R, x.R);
  }
};

// kMasked: logits may be -inf, or so low that their t overflows. Where one side alone has no mass, what is added to the
// moments of the other is wrong: the divergence that they are for is infinite then.
template <bool kMasked>
class FarLoop {
 public:
  HWY_INLINE FarLoop(const FarTops& tops, FarSums& sums, Unmatched& unmatched)
      : top_(hn::Set(d_, finite(tops.policy))), top_reference_(hn::Set(d_, finite(tops.reference))),
        reference_there_(hn::Set(d_, finite(tops.reference_there))), policy_there_(hn::Set(d_, finite(tops.policy_there))),
        lanes_(d_), sums_(sums), unmatched_(unmatched) {}

  HWY_INLINE void add(const TwoVectors& a, const TwoVectors& b) {
    add(a.first, b.first);
    add(a.second, b.second);
  }
  HWY_INLINE void add(VF a, VF b) {
    const VF log2e = hn::Set(d_, kLog2e);
    const VF x = hn::Sub(a, top_), y = hn::Sub(b, top_reference_);
    VF t = hn::Mul(x, log2e), t_reference = hn::Mul(y, log2e);
    VF u = hn::Sub(hn::Sub(b, reference_there_), x), u_reference = hn::Sub(y, hn::Sub(a, policy_there_));
    if constexpr (kMasked) {
      const VF gone = hn::Set(d_, -HUGE_VALF), lowest = hn::Set(d_, kNoWeightT);
      const auto in_policy = hn::Ne(a, gone), in_reference = hn::Ne(b, gone);  // NaN is, to be seen
      const VF scale = hn::Set(d_, kFarScale);
      const auto both = hn::And(in_policy, in_reference);
      u = hn::IfThenElseZero(both, hn::Mul(u, scale));
      u_reference = hn::IfThenElseZero(both, hn::Mul(u_reference, scale));
      t = hn::Max(lowest, t);
      t_reference = hn::Max(lowest, t_reference);
      unmatched_.see(in_policy, in_reference);
    }
    const VF w = exp2_bounded(d_, t), v = exp2_bounded(d_, t_reference);
    lanes_.S = hn::Add(lanes_.S, w);
    lanes_.V = hn::Add(lanes_.V, v);
    lanes_.T = hn::MulAdd(w, u, lanes_.T);
    lanes_.G = hn::MulAdd(v, u_reference, lanes_.G);
    lanes_.E = hn::MulAdd(w, t, lanes_.E);
    lanes_.R = hn::MulAdd(v, t_reference, lanes_.R);
  }
  // Of which `count` lanes count; the others carry no weight.
  HWY_INLINE void add_some(VF a, VF b, std::size_t) { add(a, b); }
  HWY_INLINE bool flush() {
    if constexpr (!kMasked) {
      const VF zero = hn::Zero(d_), all = hn::Add(hn::Add(lanes_.T, lanes_.G), hn::Add(lanes_.E, lanes_.R));
      if (HWY_UNLIKELY(!hn::AllTrue(d_, hn::Eq(hn::Mul(zero, all), zero)))) return false;
    }
    sums_.add(lanes_);
    lanes_ = FarSums(d_);
    return true;
  }

 private:
  static float finite(float top) { return std::max(top, std::numeric_limits<float>::lowest()); }

  DF d_;
  VF top_, top_reference_, reference_there_, policy_there_;
  FarSums lanes_;
  FarSums& sums_;
  Unmatched& unmatched_;
};

// Scales what was summed without masks as if there had been some.
HWY_INLINE void rescale(FarSums& s) {
  const VF scale = hn::Set(DF(), kFarScale);
  s.T = hn::Mul(s.T, scale);
  s.G = hn::Mul(s.G, scale);
}

HWY_INLINE void store(const FarSums& s, FewLanes& lanes) { lanes.store(s.S, s.V, s.T, s.G, s.E, s.R); }

// A slice of which one side alone has mass.
inline RowPartial one_sided_partial(double sum, double moment, const TopScale& scale, bool in_policy) {
  RowPartial p;
  const double mass = scale.factor * sum, above = scale.factor * moment + scale.above * mass;
  p.exponent = p.reference_exponent = scale.exponent;
  if (in_policy) {
    p.S = p.F = mass;
    p.M = -mass;
    p.E = above;
    p.flags = kPolicyHasMass | kKlReverseInfinite;
  } else {
    p.M = p.K = mass;
    p.R = above;
    p.flags = kReferenceHasMass | kKlForwardInfinite;
  }
  return p;
}

// The sums in fp64, at the pivot where both tops meet.
class FarTotals {
 public:
  FarTotals(const FewLanes& lanes, const FarTops& tops)
      : top_(static_cast<double>(tops.policy)), top_reference_(static_cast<double>(tops.reference)),
        E_(lanes.total(4)), R_(lanes.total(5)), S_(lanes.total(0) + kLog2eError * E_),
        V_(lanes.total(1) + kLog2eError * R_) {
    E_ *= kLn2;
    R_ *= kLn2;
    moment_ = lanes.total(2) / kFarScale;
    reference_moment_ = lanes.total(3) / kFarScale;
    T_ = moment_ + (static_cast<double>(tops.reference_there) - top_reference_) * S_;
    G_ = reference_moment_ + (top_ - static_cast<double>(tops.policy_there)) * V_;
  }

  bool usable() const { return std::isfinite(S_ + V_ + moment_ + reference_moment_ + E_ + R_); }
  bool accepted(std::uint32_t flags) const {
    if (!has_policy() || !has_reference()) return true;
    const double log_ratio = std::log(V_ / S_);
    return divergence_stands(log_ratio - T_ / S_, moment_ / S_, flags & kKlReverseInfinite) &&
           divergence_stands(G_ / V_ - log_ratio, reference_moment_ / V_, flags & kKlForwardInfinite);
  }
  // What the reference's sum is larger by, in nats.
  double offset() const { return lead() + std::log(V_ / S_); }

  RowPartial partial(std::uint32_t flags) const {
    if (!has_policy() && !has_reference()) return {};
    if (!has_reference()) return one_sided_partial(S_, E_, top_scale(top_), true);
    if (!has_policy()) return one_sided_partial(V_, R_, top_scale(top_reference_), false);
    constexpr double kSamePivot = 12.0;  // what is less apart keeps a pivot of 0: partials with one merge faster
    const TopScale scale = top_scale(top_);
    const bool zero_pivot = !is_huge(top_) && !is_huge(top_reference_) && std::fabs(lead()) < kSamePivot;
    const double moved = zero_pivot ? lead() : 0.0, factor = zero_pivot ? scale.factor * std::exp(moved) : scale.factor;
    RowPartial p;
    p.S = scale.factor * S_;
    p.T = scale.factor * (T_ + moved * S_);
    p.E = scale.factor * E_ + scale.above * p.S;
    const double mass = factor * V_;
    p.M = mass - p.S;
    p.K = p.M - p.T;
    p.F = factor * (G_ + moved * V_) - p.M;
    p.R = factor * R_ + (scale.above + moved) * mass;
    p.exponent = p.reference_exponent = scale.exponent;
    if (!zero_pivot) {
      const TopScale reference_scale = top_scale(top_reference_);
      p.reference_exponent = reference_scale.exponent;
      p.pivot = reference_scale.above - scale.above;
    }
    p.flags = flags;
    return p;
  }

 private:
  bool has_policy() const { return top_ > -HUGE_VAL; }
  bool has_reference() const { return top_reference_ > -HUGE_VAL; }
  double lead() const { return top_reference_ - top_; }

  double top_, top_reference_;
  double E_, R_, S_, V_, T_, G_, moment_, reference_moment_;
};

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
