// The gradient of one row of unscaled 32- or 16-bit logits, in fp32; compiled once per SIMD target. What cancels in fp32
// is formed from exact differences: neither b - a nor the row's statistics are rounded before their difference is known.

#if defined(KLMESH_CORE_CPU_GRADIENT_FLOAT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_GRADIENT_FLOAT_INL_H
#undef KLMESH_CORE_CPU_GRADIENT_FLOAT_INL_H
#else
#define KLMESH_CORE_CPU_GRADIENT_FLOAT_INL_H
#endif

#include "core/cpu/gradient_store-inl.h"
#include "core/cpu/gradient_weights.hpp"
#include "core/cpu/pair_reader-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// A number of a row that is taken off its logits, as an unevaluated sum of two floats.
struct SplitFloat {
  float high, low;

  /// x - y, without what a double of it rounds off
  explicit SplitFloat(double x, double y = 0.0) {
    const double difference = x - y, yy = difference - x;
    const double error = (x - (difference - yy)) - (y + yy);
    high = static_cast<float>(difference);
    low = static_cast<float>((difference - static_cast<double>(high)) + error);
  }
};

// x - c, rounded about once.
HWY_INLINE VF minus(DF d, VF x, const SplitFloat& c) { return hn::Sub(hn::Sub(x, hn::Set(d, c.high)), hn::Set(d, c.low)); }

// d objective / d a_v = pi (-w_r (l + KL) - w_e (log pi + H) - w_l) + w_f (pi - ref), l = log(ref / pi); see RowScales.
// The target's + w_l is added by the caller.
class FloatGradient {
 public:
  explicit FloatGradient(const RowWeights& w)
      : reverse_(static_cast<float>(w.kl_reverse)), forward_(static_cast<float>(w.kl_forward)),
        entropy_(static_cast<float>(w.entropy)), logp_(static_cast<float>(w.logp)), lse_(w.normalizer.lse_policy),
        lse_reference_(w.normalizer.lse_policy + w.normalizer.lse_difference), difference_(w.normalizer.lse_difference),
        mean_ratio_(w.normalizer.lse_difference, w.kl_reverse != 0.0 ? w.normalizer.kl_reverse : 0.0),
        mean_logit_(w.normalizer.lse_policy, w.entropy != 0.0 ? w.normalizer.entropy_policy : 0.0) {
    const double mean_ratio = static_cast<double>(mean_ratio_.high);
    constant_ = static_cast<float>(w.kl_reverse * mean_ratio - w.logp);
    // What b - a rounds off is then small beside what the ratios differ by.
    const bool no_offset = w.kl_reverse == 0.0 || mean_ratio * mean_ratio <= 2.0 * w.normalizer.kl_reverse;
    simple_ = w.kl_forward == 0.0 && w.entropy == 0.0 && no_offset;
  }

  /// False: this row is for fp64.
  static bool can(const RowWeights& w) {
    constexpr double kLargest = 1e20;  // whole rows of finite masks
    const auto usable = [](double weight, double x) { return weight == 0.0 || std::isfinite(x); };
    const double weights = std::fabs(w.kl_reverse) + std::fabs(w.kl_forward) + std::fabs(w.logp) + std::fabs(w.entropy);
    return w.half_jensen_shannon == 0.0 && weights < kLargest && std::fabs(w.normalizer.lse_policy) < kLargest &&
           std::fabs(w.normalizer.lse_difference) < kLargest && usable(w.kl_reverse, w.normalizer.kl_reverse) &&
           usable(w.entropy, w.normalizer.entropy_policy);
  }

  /// Policy and reference differ by more than by a common offset, and nothing but kl_reverse and logp counts.
  bool is_simple() const { return simple_; }

  HWY_INLINE VF simple_at(DF d, VF a_any, VF b_any) const {
    // Masked in both: no difference. In one: no weight, or a divergence that is infinite.
    const VF mask = hn::Set(d, kNoWeight);
    const VF a = hn::Max(mask, a_any), b = hn::Max(mask, b_any);
    const VF factor = hn::NegMulAdd(hn::Set(d, reverse_), hn::Sub(b, a), hn::Set(d, constant_));
    const VF log2e = hn::Set(d, kLog2e);
    const VF t = hn::MulAdd(hn::Sub(a, hn::Set(d, lse_.high)), log2e, hn::Set(d, -kLog2e * lse_.low));
    return hn::Mul(exp2_bounded(d, t), factor);
  }

  HWY_INLINE VF at(DF d, VF a_any, VF b) const {
    const VF infinity = hn::Set(d, HUGE_VALF);
    const VF a = hn::Max(hn::Set(d, kNoWeight), a_any);
    // b - a exactly, as difference + error; meaningless where one of them is -inf.
    const VF difference = hn::Sub(b, a);
    const VF bb = hn::Sub(difference, b);
    const VF error = hn::Sub(hn::Sub(b, hn::Sub(difference, bb)), hn::Add(a, bb));
    const auto both = hn::And(hn::Gt(a_any, hn::Neg(infinity)), hn::Gt(b, hn::Neg(infinity)));
    const auto less = [&](const SplitFloat& c) KLMESH_INLINE_LAMBDA {
      return hn::Add(hn::Sub(difference, hn::Set(d, c.high)), hn::Sub(error, hn::Set(d, c.low)));
    };
    const VF pi = probability(d, a, lse_);
    VF factor = hn::Neg(hn::Set(d, logp_));
    factor = hn::NegMulAdd(hn::Set(d, reverse_), hn::IfThenElseZero(both, less(mean_ratio_)), factor);
    factor = hn::NegMulAdd(hn::Set(d, entropy_), minus(d, a, mean_logit_), factor);
    const VF g = hn::Mul(pi, factor);
    if (forward_ == 0.0f) return g;
    const VF log_ratio = less(difference_);
    const auto small = hn::And(both, hn::Lt(hn::Abs(log_ratio), hn::Set(d, kSmallU)));
    const VF u = hn::IfThenElseZero(small, log_ratio);
    const VF expm1 = hn::MulAdd(hn::Mul(u, u), phi_ratio_small(d, u), u);
    const VF ref = probability(d, hn::Max(hn::Set(d, kNoWeight), b), lse_reference_);
    const VF excess = hn::IfThenElse(small, hn::Neg(hn::Mul(pi, expm1)), hn::Sub(pi, ref));
    return hn::MulAdd(hn::Set(d, forward_), excess, g);
  }

 private:
  static HWY_INLINE VF probability(DF d, VF x, const SplitFloat& lse) {
    const VF t = hn::Mul(minus(d, x, lse), hn::Set(d, kLog2e));
    return exp2_bounded(d, hn::Max(hn::Set(d, -1000.0f), t));
  }

  float reverse_, forward_, entropy_, logp_;
  float constant_;  // of simple_at()
  bool simple_;
  SplitFloat lse_, lse_reference_, difference_;
  SplitFloat mean_ratio_;  // lse_difference - KL: what b - a is compared with
  SplitFloat mean_logit_;  // lse - H
};

// Columns of one row; `out` may be the policy logits themselves.
template <bool kSimple, bool kAccumulate, typename T, typename Out>
HWY_NOINLINE void float_gradient_columns(const FloatGradient& row, const T* a, const T* b, std::size_t columns, Out* out) {
  const DF d;
  const FloatGradient gradient = row;  // no store can change it
  const std::size_t lanes = hn::Lanes(d);
  const auto at = [&](VF x, VF y) KLMESH_INLINE_LAMBDA {
    return kSimple ? gradient.simple_at(d, x, y) : gradient.at(d, x, y);
  };
  const auto some = [&](std::size_t i, std::size_t count) KLMESH_INLINE_LAMBDA {
    VF g = at(load_some(d, a + i, count), load_some(d, b + i, count));
    if constexpr (kAccumulate) g = hn::Add(load_some(d, out + i, count), g);
    store_some(d, g, count, out + i);
  };
  std::size_t i = kAccumulate ? 0 : std::min(columns, columns_to_alignment(out));
  for (std::size_t k = 0; k < i; k += lanes) some(k, std::min(lanes, i - k));
  const bool stream = !kAccumulate && is_aligned(out + i);
  for (; i + 2 * lanes <= columns; i += 2 * lanes) {
    prefetch_two(a + i);
    prefetch_two(b + i);
    VF first = at(load_one(d, a + i), load_one(d, b + i));
    VF second = at(load_one(d, a + i + lanes), load_one(d, b + i + lanes));
    if constexpr (kAccumulate) {
      first = hn::Add(load_one(d, out + i), first);
      second = hn::Add(load_one(d, out + i + lanes), second);
    }
    store_two(d, {first, second}, stream, out + i);
  }
  for (; i < columns; i += lanes) some(i, std::min(lanes, columns - i));
}

template <typename T, typename Out>
void float_gradient(const FloatGradient& row, const T* a, const T* b, std::size_t columns, bool accumulate, Out* out) {
  if (row.is_simple()) {
    accumulate ? float_gradient_columns<true, true>(row, a, b, columns, out)
               : float_gradient_columns<true, false>(row, a, b, columns, out);
  } else {
    accumulate ? float_gradient_columns<false, true>(row, a, b, columns, out)
               : float_gradient_columns<false, false>(row, a, b, columns, out);
  }
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
