// A first look at a slice, which decides how it is summed; compiled once per SIMD target.

#if defined(KLMESH_CORE_CPU_SLICE_HEAD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_HEAD_INL_H
#undef KLMESH_CORE_CPU_SLICE_HEAD_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_HEAD_INL_H
#endif

#include <algorithm>
#include <cmath>

#include "core/cpu/pair_reader-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// What the first columns of a slice look like: they decide how it is summed, never whether the sums are right.
struct SliceHead {
  float top_policy;
  float lowest, highest;  // of b - a, where neither is masked; 0 if there is no such column
  bool masked;            // some logit is -inf, or so low that scaled by log2(e) it is
};

template <typename T>
HWY_INLINE SliceHead look_at_head(const Pairs<T>& pairs) {
  constexpr std::size_t kHead = 64;
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t columns = std::min(kHead, pairs.columns);
  const VF infinity = hn::Set(d, HUGE_VALF), mask = hn::Set(d, 2.0f * kNoWeight);
  VF top = hn::Neg(infinity), low = infinity, high = top, least = infinity;
  const auto look = [&](VF a, VF b) KLMESH_INLINE_LAMBDA {
    const VF lower = hn::Min(a, b), u = hn::Sub(b, a);
    const auto counts = hn::Gt(lower, mask);
    least = hn::Min(least, lower);
    top = hn::Max(top, a);
    low = hn::Min(low, hn::IfThenElse(counts, u, infinity));
    high = hn::Max(high, hn::IfThenElse(counts, u, hn::Neg(infinity)));
  };
  std::size_t i = 0;
  for (; i + lanes <= columns; i += lanes) look(load_one(d, pairs.a + i), load_one(d, pairs.b + i));
  if (i > 0 && i < columns) {
    look(load_one(d, pairs.a + columns - lanes), load_one(d, pairs.b + columns - lanes));
  } else if (i == 0) {
    // Lanes past the end repeat the first column.
    const auto inside = hn::FirstN(d, columns);
    const VF a = load_some(d, pairs.a, columns), b = load_some(d, pairs.b, columns);
    look(hn::IfThenElse(inside, a, hn::Set(d, hn::GetLane(a))), hn::IfThenElse(inside, b, hn::Set(d, hn::GetLane(b))));
  }
  SliceHead head{hn::GetLane(hn::MaxOfLanes(d, top)), hn::GetLane(hn::MinOfLanes(d, low)),
                 hn::GetLane(hn::MaxOfLanes(d, high)), hn::GetLane(hn::MinOfLanes(d, least)) < 2.0f * kNoWeight};
  if (head.lowest > head.highest) head.lowest = head.highest = 0.0f;
  return head;
}

// All that decides how a slice is summed, from every column of it.
struct SliceLook {
  float top_policy, top_reference;
  float lowest, highest;  // of b - a where both are finite; 0 if there is no such column
  bool policy_only, reference_only;
  bool valid;  // neither NaN nor +inf

  // The head of the slice as it would be if all of it were.
  SliceHead head() const { return {top_policy, lowest, highest, true}; }
};

template <typename T>
HWY_NOINLINE SliceLook look_closely(const Pairs<T>& pairs) {
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  const VF infinity = hn::Set(d, HUGE_VALF), gone = hn::Neg(infinity), one = hn::Set(d, 1.0f);
  VF top_a = gone, top_b = gone, low = infinity, high = gone;
  VF policy_only = hn::Zero(d), reference_only = policy_only, invalid = policy_only;
  const auto look = [&](VF a, VF b) KLMESH_INLINE_LAMBDA {
    const auto in_policy = hn::Gt(a, gone), in_reference = hn::Gt(b, gone);  // false for NaN, too
    const auto both = hn::And(in_policy, in_reference);
    const VF u = hn::Sub(b, a);
    top_a = hn::Max(top_a, a);
    top_b = hn::Max(top_b, b);
    low = hn::Min(low, hn::IfThenElse(both, u, infinity));
    high = hn::Max(high, hn::IfThenElse(both, u, gone));
    policy_only = hn::Or(policy_only, hn::IfThenElseZero(hn::AndNot(in_reference, in_policy), one));
    reference_only = hn::Or(reference_only, hn::IfThenElseZero(hn::AndNot(in_policy, in_reference), one));
    invalid = hn::Or(invalid, hn::IfThenZeroElse(hn::And(hn::Lt(a, infinity), hn::Lt(b, infinity)), one));
  };
  std::size_t i = 0;
  for (; i + lanes <= pairs.columns; i += lanes) look(load_one(d, pairs.a + i), load_one(d, pairs.b + i));
  if (i < pairs.columns) {
    const auto inside = hn::FirstN(d, pairs.columns - i);
    look(hn::IfThenElse(inside, load_some(d, pairs.a + i, pairs.columns - i), gone),
         hn::IfThenElse(inside, load_some(d, pairs.b + i, pairs.columns - i), gone));
  }
  const auto any = [d](VF x) KLMESH_INLINE_LAMBDA { return hn::GetLane(hn::MaxOfLanes(d, x)) != 0.0f; };
  SliceLook s{hn::GetLane(hn::MaxOfLanes(d, top_a)), hn::GetLane(hn::MaxOfLanes(d, top_b)),
              hn::GetLane(hn::MinOfLanes(d, low)), hn::GetLane(hn::MaxOfLanes(d, high)),
              any(policy_only), any(reference_only), !any(invalid)};
  if (s.lowest > s.highest) s.lowest = s.highest = 0.0f;
  return s;
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
