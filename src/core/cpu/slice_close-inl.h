// The six sums of one slice in fp32, where no |b - a - c| exceeds 20; compiled once per SIMD target.
//
// Near (|u| <= 0.5) costs one exponential a pair, and six sums are enough:
//   S = sum w, M = sum w expm1(u), K = sum w phi(u), U = sum u w expm1(u), E = sum w t, R = sum w expm1(u) t,
// with t = (a - top) / ln 2. From them F = U - K, T = M - K, and the reference's moment is E + R + F + M.

#if defined(KLMESH_CORE_CPU_SLICE_CLOSE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_CLOSE_INL_H
#undef KLMESH_CORE_CPU_SLICE_CLOSE_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_CLOSE_INL_H
#endif

#include "core/cpu/pair_reader-inl.h"
#include "klmesh/row_partial.hpp"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

inline constexpr float kMidU = 20.0f;
inline constexpr float kNoWeightT = -1000.0f;  // 2^t is 0 there

// Where a slice is centred: one of the policy's large logits, and what is taken off b - a. Its largest logit, where that
// stands alone, then weighs exactly 1, and what is left of the distribution beside it keeps its digits.
struct FloatCentre {
  float top;
  float pivot;
};

// The six sums, lane by lane.
struct CloseSums {
  VF S, M, K, U, E, R;

  explicit HWY_INLINE CloseSums(DF d) : S(hn::Zero(d)), M(S), K(S), U(S), E(S), R(S) {}

  HWY_INLINE void add(const CloseSums& x) {
    S = hn::Add(S, x.S);
    M = hn::Add(M, x.M);
    K = hn::Add(K, x.K);
    U = hn::Add(U, x.U);
    E = hn::Add(E, x.E);
    R = hn::Add(R, x.R);
  }
};

// What one vector of pairs adds to S, M and K.
struct CloseTerms {
  VF w, we, wphi;
};

// The six sums of a slice, added up so far that two vectors hold them: S M K U, and E R E R, in every 16 bytes. What is
// left is done once the row is through: waiting for it would stop the next slice.
struct FewLanes {
  HWY_ALIGN float smku[HWY_MAX_BYTES / sizeof(float)];
  HWY_ALIGN float er[HWY_MAX_BYTES / sizeof(float)];

  HWY_INLINE void store(const CloseSums& lanes) {
    const DF d;
    const VF pairs = add_pairs(d, lanes.E, lanes.R);
    hn::Store(add_quads(d, add_pairs(d, lanes.S, lanes.M), add_pairs(d, lanes.K, lanes.U)), d, smku);
    hn::Store(add_quads(d, pairs, pairs), d, er);
  }

 private:
  static HWY_INLINE VF add_pairs(DF d, VF x, VF y) {
    return hn::Add(hn::InterleaveLower(d, x, y), hn::InterleaveUpper(d, x, y));
  }
  static HWY_INLINE VF add_quads(DF d, VF x, VF y) {
    const hn::RepartitionToWide<DU> wide;
    const auto lower = hn::InterleaveLower(wide, hn::BitCast(wide, x), hn::BitCast(wide, y));
    const auto upper = hn::InterleaveUpper(wide, hn::BitCast(wide, x), hn::BitCast(wide, y));
    return hn::Add(hn::BitCast(d, lower), hn::BitCast(d, upper));
  }
};

// exp(top) = factor 2^exponent, with above = ln factor: what moves sums from a slice's own reference to a power of two.
struct TopScale {
  double exponent, above, factor;
};

inline TopScale top_scale(double top) {
  const double exponent = std::nearbyint(top / kLn2);
  const double above = std::fma(-exponent, kLn2Low, std::fma(-exponent, kLn2, top));
  return {exponent, above, std::exp(above)};
}

// The six sums in fp64.
struct CloseTotals {
  double S = 0, M = 0, K = 0, U = 0, E = 0, R = 0;

  explicit HWY_INLINE CloseTotals(const FewLanes& lanes) {
    for (std::size_t i = 0; i < hn::Lanes(DF()); i += 4) {
      S += static_cast<double>(lanes.smku[i]);
      M += static_cast<double>(lanes.smku[i + 1]);
      K += static_cast<double>(lanes.smku[i + 2]);
      U += static_cast<double>(lanes.smku[i + 3]);
      E += static_cast<double>(lanes.er[i]);
      R += static_cast<double>(lanes.er[i + 1]);
    }
  }

  // False: a logit lies so far above the reference that its t is coarse, or only kMasked can take it.
  HWY_INLINE bool usable(std::size_t columns) const {
    return S < 4.0 * static_cast<double>(columns) && std::fabs(E) < HUGE_VAL;
  }

  HWY_INLINE RowPartial partial(const FloatCentre& centre, const TopScale& scale) const {
    const double above = scale.above, factor = scale.factor;
    RowPartial p;
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
    return p;
  }
};

// kMasked: logits may be -inf, in both or (which ends it) in one, or so low that their t overflows.
template <bool kNear, bool kPivot, bool kMasked>
class CloseLoop {
 public:
  HWY_INLINE CloseLoop(DF d, const FloatCentre& centre)
      : d_(d), top_(hn::Set(d, centre.top)), pivot_(hn::Set(d, centre.pivot)), lanes_(d),
        largest_(hn::Zero(DI())) {}

  HWY_INLINE void add(const TwoVectors& a, const TwoVectors& b) {
    const CloseTerms x = terms(a.first, centred(a.first, b.first));
    const CloseTerms y = terms(a.second, centred(a.second, b.second));
    lanes_.S = hn::Add(lanes_.S, hn::Add(x.w, y.w));
    lanes_.M = hn::Add(lanes_.M, hn::Add(x.we, y.we));
    lanes_.K = hn::Add(lanes_.K, hn::Add(x.wphi, y.wphi));
  }
  HWY_INLINE void add(VF a, VF b) { add_one(terms(a, centred(a, b))); }
  // Of which `count` lanes count.
  HWY_INLINE void add_some(VF a, VF b, std::size_t count) {
    add_one(terms(a, hn::IfThenElseZero(hn::FirstN(d_, count), centred(a, b))));
  }
  // Moves what was added to `sums`, unless some of it was out of range; NaN and infinities are.
  HWY_INLINE bool flush(CloseSums& sums) {
    const DI di;
    const auto bound = hn::BitCast(di, hn::Set(d_, kNear ? kNearU : kMidU));
    if (HWY_UNLIKELY(!hn::AllTrue(di, hn::Lt(largest_, bound)))) return false;
    sums.add(lanes_);
    lanes_ = CloseSums(d_);
    return true;
  }

 private:
  HWY_INLINE VF above(VF a) const {
    const VF t = hn::Mul(hn::Sub(a, top_), hn::Set(d_, kLog2e));
    return kMasked ? hn::Max(t, hn::Set(d_, kNoWeightT)) : t;
  }
  HWY_INLINE VF centred(VF a, VF b) const {
    const VF u = kPivot ? exact_difference(a, b, pivot_) : hn::Sub(b, a);
    if constexpr (!kMasked) return u;
    const VF gone = hn::Set(d_, -HUGE_VALF);
    return hn::IfThenZeroElse(hn::And(hn::Eq(a, gone), hn::Eq(b, gone)), u);
  }
  HWY_INLINE CloseTerms terms(VF a, VF u) {
    const VF t = above(a);
    largest_ = hn::Max(largest_, hn::BitCast(DI(), hn::Abs(u)));  // floats order as integers, NaN above all
    const VF w = exp2_bounded(d_, t);
    CloseTerms x{w, w, w};
    if constexpr (kNear) {
      const VF wu = hn::Mul(w, u);
      x.wphi = hn::Mul(wu, hn::Mul(u, phi_ratio_near(d_, u)));
      x.we = hn::Add(wu, x.wphi);
    } else {
      const Expm1 e = expm1_mid(d_, u);
      x.wphi = hn::Mul(w, e.phi);
      x.we = hn::Mul(w, e.expm1);
    }
    lanes_.U = hn::MulAdd(u, x.we, lanes_.U);
    lanes_.E = hn::MulAdd(w, t, lanes_.E);
    lanes_.R = hn::MulAdd(x.we, t, lanes_.R);
    return x;
  }
  HWY_INLINE void add_one(const CloseTerms& x) {
    lanes_.S = hn::Add(lanes_.S, x.w);
    lanes_.M = hn::Add(lanes_.M, x.we);
    lanes_.K = hn::Add(lanes_.K, x.wphi);
  }

  DF d_;
  VF top_, pivot_;
  CloseSums lanes_;
  VI largest_;
};

// Adds columns from `begin` on; returns where it stopped because of what it met there, or the number of columns.
// A block is so short that small terms are not absorbed.
template <bool kNear, bool kPivot, bool kMasked, typename T>
HWY_INLINE std::size_t add_columns(const Pairs<T>& pairs, const FloatCentre& centre, std::size_t begin,
                                   CloseSums& sums) {
  constexpr std::size_t kBlock = 16;  // double vectors
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t columns = pairs.columns;
  const T* a = pairs.a;
  const T* b = pairs.b;
  CloseLoop<kNear, kPivot, kMasked> loop(d, centre);
  for (std::size_t i = begin; i < columns;) {
    const std::size_t start = i;
    const std::size_t stop = std::min(columns, i + kBlock * 2 * lanes);
    for (; i + 2 * lanes <= stop; i += 2 * lanes) {
      prefetch_two(a + i);
      prefetch_two(b + i);
      loop.add(load_two(d, a + i), load_two(d, b + i));
    }
    if (i + lanes <= stop) {
      loop.add(load_one(d, a + i), load_one(d, b + i));
      i += lanes;
    }
    if (i < stop) {
      loop.add_some(load_some(d, a + i, stop - i), load_some(d, b + i, stop - i), stop - i);
      i = stop;
    }
    if (HWY_UNLIKELY(!loop.flush(sums))) return start;
  }
  return columns;
}

// Sums a slice; false if it is out of range. `near` is a guess. The totals are not usable if it holds a logit
// that only kMasked can take, or one far above the reference.
template <bool kPivot, bool kMasked, typename T>
HWY_NOINLINE bool sum_close(const Pairs<T>& pairs, const FloatCentre& centre, bool near, FewLanes& out) {
  CloseSums sums{DF()};
  std::size_t i = 0;
  if (near) i = add_columns<true, kPivot, kMasked>(pairs, centre, 0, sums);
  if (HWY_UNLIKELY(i != pairs.columns)) i = add_columns<false, kPivot, kMasked>(pairs, centre, i, sums);
  if (i != pairs.columns) return false;
  out.store(sums);
  return true;
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
