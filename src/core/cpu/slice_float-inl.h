// The partial of one canonical slice of one row of 32- or 16-bit logits, in fp32; compiled once per SIMD target. Every
// choice made here is a function of the slice's own columns.

#if defined(KLMESH_CORE_CPU_SLICE_FLOAT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_FLOAT_INL_H
#undef KLMESH_CORE_CPU_SLICE_FLOAT_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_FLOAT_INL_H
#endif

#include "core/cpu/slice_close-inl.h"
#include "core/cpu/slice_head-inl.h"
#include "core/cpu/slice_partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// One slice, in two steps, so that a row's slices follow each other without a pause: sum() reads the columns, settle()
// looks at the sums, and repeats what was taken wrongly.
class FloatSlice {
 public:
  template <typename T>
  HWY_INLINE void sum(const Pairs<T>& pairs, const SliceHead& head) {
    masked_ = false;
    summed_ = HWY_LIKELY(centre_on(head) && sum_close_to_centre(pairs));
  }

  double top() const { return static_cast<double>(centre_.top); }

  /// @param scale of top()
  /// @returns false if the slice is none for fp32
  template <typename T>
  HWY_INLINE bool settle(const Pairs<T>& pairs, const TopScale& scale, RowPartial& p) {
    if (HWY_UNLIKELY(!summed_)) return look_again(pairs, p);
    const CloseTotals totals(lanes_);
    p = totals.partial(centre_, scale);
    const bool usable = totals.usable(pairs.columns);
    if (HWY_LIKELY(usable && pivot_accepted(p))) return true;
    return usable ? move_pivot(pairs, p) : look_again(pairs, p);
  }

 private:
  static constexpr float kWideU = 5.0f;  // beyond, one pivot seldom suits all columns

  // All of one sign: a common offset.
  HWY_INLINE bool centre_on(const SliceHead& head) {
    head_ = head;
    centre_.top = head.top_policy;
    centre_.pivot = head.lowest > 0.0f || head.highest < 0.0f ? 0.5f * (head.lowest + head.highest) : 0.0f;
    // Written so that NaN fails.
    return std::fabs(head.top_policy) < kFloatRange && spread() < kWideU;
  }
  HWY_INLINE float spread() const { return std::max(head_.highest - centre_.pivot, centre_.pivot - head_.lowest); }

  template <typename T>
  HWY_INLINE bool sum_close_to_centre(const Pairs<T>& pairs) {
    const bool near = spread() < kNearU;
    if (HWY_LIKELY(centre_.pivot == 0.0f && !masked_)) return sum_close<false, false>(pairs, centre_, near, lanes_);
    if (!masked_) return sum_close<true, false>(pairs, centre_, near, lanes_);
    return centre_.pivot == 0.0f ? sum_close<false, true>(pairs, centre_, near, lanes_)
                                 : sum_close<true, true>(pairs, centre_, near, lanes_);
  }

  // The head was not like the rest, or there are masks: all columns are looked at first.
  template <typename T>
  HWY_NOINLINE bool look_again(const Pairs<T>& pairs, RowPartial& p) {
    const SliceLook look = look_closely(pairs);
    masked_ = true;
    const bool one_sided = look.policy_only || look.reference_only;
    if (!look.valid || one_sided || !centre_on(look.head()) || !sum_close_to_centre(pairs)) {
      return false;
    }
    const CloseTotals totals(lanes_);
    p = totals.partial(centre_, top_scale(top()));
    if (!totals.usable(pairs.columns)) return false;
    return pivot_accepted(p) || move_pivot(pairs, p);
  }

  // What a pivot of ln(1 + M/S) makes of it.
  template <typename T>
  HWY_NOINLINE bool move_pivot(const Pairs<T>& pairs, RowPartial& p) {
    const double first_pivot = p.pivot;
    for (int attempt = 0; attempt < 3; ++attempt) {
      if (!(p.M > -0.99 * p.S && p.M < 100.0 * p.S)) return false;
      const float moved = centre_.pivot + static_cast<float>(std::log1p(p.M / p.S));
      if (moved == centre_.pivot) break;
      centre_.pivot = moved;
      if (!sum_close_to_centre(pairs)) return false;
      p = CloseTotals(lanes_).partial(centre_, top_scale(top()));
      if (pivot_accepted(p)) break;
    }
    if (first_pivot == 0.0) back_to_zero(p);
    return true;
  }

  // Most slices of a row are centred on 0, and merge faster if all are. fp64 sums lose nothing by it, unless what the
  // pivot took off was nearly everything.
  static HWY_INLINE void back_to_zero(RowPartial& p) {
    RowPartial at_zero = p;
    klmesh::detail::move_pivot(at_zero, at_zero.reference_exponent, 0.0);
    if (at_zero.K < 1e6 * p.K && at_zero.F < 1e6 * p.F) p = at_zero;
  }

  FewLanes lanes_;
  SliceHead head_;
  FloatCentre centre_;
  bool masked_, summed_;
};

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
