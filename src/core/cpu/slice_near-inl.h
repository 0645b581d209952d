// The six sums of one slice in fp32, where no |b - a - c| exceeds 0.5; compiled once per SIMD target.
//
// That costs one exponential a pair, and six sums are enough:
//   S = sum w, M = sum w expm1(u), K = sum w phi(u), U = sum u w expm1(u), E = sum w t, R = sum w expm1(u) t,
// with t = (a - top) / ln 2. From them F = U - K, T = M - K, and the reference's moment is E + R + F + M.

#if defined(KLMESH_CORE_CPU_SLICE_NEAR_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_NEAR_INL_H
#undef KLMESH_CORE_CPU_SLICE_NEAR_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_NEAR_INL_H
#endif

#include "core/cpu/slice_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// Where a slice is centred: one of the policy's large logits, and what is taken off b - a. Its largest logit, where that
// stands alone, then weighs exactly 1, and what is left of the distribution beside it keeps its digits.
struct FloatCentre {
  float top;
  float pivot;
};

struct NearSums {
  VF S, M, K, U, E, R;

  explicit HWY_INLINE NearSums(DF d) : S(hn::Zero(d)), M(S), K(S), U(S), E(S), R(S) {}

  HWY_INLINE void add(const NearSums& x) {
    S = hn::Add(S, x.S);
    M = hn::Add(M, x.M);
    K = hn::Add(K, x.K);
    U = hn::Add(U, x.U);
    E = hn::Add(E, x.E);
    R = hn::Add(R, x.R);
  }
};

// kMasked: logits may be -inf in both, or so low that their t overflows.
template <bool kPivot, bool kMasked>
class NearLoop {
 public:
  HWY_INLINE NearLoop(const FloatCentre& centre, NearSums& sums)
      : top_(hn::Set(d_, centre.top)), pivot_(hn::Set(d_, centre.pivot)), lanes_(d_), sums_(sums),
        largest_(hn::Zero(DI())) {}

  HWY_INLINE void add(const TwoVectors& a, const TwoVectors& b) {
    const Terms x = terms(a.first, centred(a.first, b.first));
    const Terms y = terms(a.second, centred(a.second, b.second));
    lanes_.S = hn::Add(lanes_.S, hn::Add(x.w, y.w));
    lanes_.M = hn::Add(lanes_.M, hn::Add(x.we, y.we));
    lanes_.K = hn::Add(lanes_.K, hn::Add(x.wphi, y.wphi));
  }
  HWY_INLINE void add(VF a, VF b) { add_one(terms(a, centred(a, b))); }
  // Of which `count` lanes count.
  HWY_INLINE void add_some(VF a, VF b, std::size_t count) {
    add_one(terms(a, hn::IfThenElseZero(hn::FirstN(d_, count), centred(a, b))));
  }
  // Moves what was added to the sums, unless some of it was out of range; NaN and infinities are.
  HWY_INLINE bool flush() {
    const DI di;
    if (HWY_UNLIKELY(!hn::AllTrue(di, hn::Lt(largest_, hn::BitCast(di, hn::Set(d_, kNearU)))))) return false;
    sums_.add(lanes_);
    lanes_ = NearSums(d_);
    return true;
  }
  // Whether what stopped it was a NaN or an infinity.
  HWY_INLINE bool met_infinity() const {
    const DI di;
    return !hn::AllTrue(di, hn::Lt(largest_, hn::BitCast(di, hn::Set(d_, HUGE_VALF))));
  }

 private:
  // What one vector of pairs adds to S, M and K.
  struct Terms {
    VF w, we, wphi;
  };

  HWY_INLINE VF centred(VF a, VF b) const {
    const VF u = kPivot ? exact_difference(a, b, pivot_) : hn::Sub(b, a);
    if constexpr (!kMasked) return u;
    const VF gone = hn::Set(d_, -HUGE_VALF);
    return hn::IfThenZeroElse(hn::And(hn::Eq(a, gone), hn::Eq(b, gone)), u);
  }
  HWY_INLINE Terms terms(VF a, VF u) {
    VF t = hn::Mul(hn::Sub(a, top_), hn::Set(d_, kLog2e));
    if constexpr (kMasked) t = hn::Max(hn::Set(d_, kNoWeightT), t);
    largest_ = hn::Max(largest_, hn::BitCast(DI(), hn::Abs(u)));  // floats order as integers, NaN above all
    const VF w = exp2_bounded(d_, t);
    const VF wu = hn::Mul(w, u);
    const VF wphi = hn::Mul(wu, hn::Mul(u, phi_ratio_near(d_, u)));
    const VF we = hn::Add(wu, wphi);
    lanes_.U = hn::MulAdd(u, we, lanes_.U);
    lanes_.E = hn::MulAdd(w, t, lanes_.E);
    lanes_.R = hn::MulAdd(we, t, lanes_.R);
    return {w, we, wphi};
  }
  HWY_INLINE void add_one(const Terms& x) {
    lanes_.S = hn::Add(lanes_.S, x.w);
    lanes_.M = hn::Add(lanes_.M, x.we);
    lanes_.K = hn::Add(lanes_.K, x.wphi);
  }

  DF d_;
  VF top_, pivot_;
  NearSums lanes_;
  NearSums& sums_;
  VI largest_;
};

HWY_INLINE void store(const NearSums& s, FewLanes& lanes) { lanes.store(s.S, s.M, s.K, s.U, s.E, s.R); }

// False: a logit lies so far above the top that its t is coarse.
HWY_INLINE bool weights_are_good(double S, double E, std::size_t columns) {
  return S < 1.01 * static_cast<double>(columns) && std::fabs(E) < HUGE_VAL;
}

/// @returns false if the sums are not good
HWY_INLINE bool near_partial(const FewLanes& lanes, const FloatCentre& centre, const TopScale& scale,
                             std::size_t columns, RowPartial& p) {
  const double S = lanes.total(0), M = lanes.total(1), K = lanes.total(2), U = lanes.total(3), E = lanes.total(4),
               R = lanes.total(5);
  const double above = scale.above, factor = scale.factor;
  p = {};
  // What the fp32 constant log2(e) rounds off scales t; a first-order term makes it good.
  p.S = factor * (S + kLog2eError * E);
  p.M = factor * (M + kLog2eError * R);
  p.K = factor * K;
  p.F = factor * U - p.K;
  p.T = p.M - p.K;
  p.E = factor * (kLn2 * E) + above * p.S;
  p.R = p.E + ((factor * (kLn2 * R) + above * p.M) + (p.F + p.M));
  p.exponent = p.reference_exponent = scale.exponent;
  p.pivot = static_cast<double>(centre.pivot);
  p.flags = kPolicyHasMass | kReferenceHasMass;
  return weights_are_good(S, E, columns);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
