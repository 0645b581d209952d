// The partial of one canonical slice of one row of 32- or 16-bit logits, in fp32; compiled once per SIMD target. Every
// choice made here is a function of the slice's own columns.

#if defined(KLMESH_CORE_CPU_SLICE_FLOAT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_FLOAT_INL_H
#undef KLMESH_CORE_CPU_SLICE_FLOAT_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_FLOAT_INL_H
#endif

#include "core/cpu/slice_far-inl.h"
#include "core/cpu/slice_head-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

// One slice, in two steps, so that a row's slices follow each other without a pause: sum() reads the columns, settle()
// looks at the sums, and repeats what was taken wrongly.
class FloatSlice {
 public:
  template <typename T>
  HWY_INLINE void sum(const Pairs<T>& pairs, const SliceHead& head) {
    kind_ = Kind::nothing;
    masked_ = head.masked;
    if (!centre_on(head)) return;
    const float spread = spread_of(head);
    if (HWY_LIKELY(spread < kNearU)) {
      sum_near(pairs);
    } else if (spread < kFarSpread) {
      sum_wide(pairs);
    } else {
      sum_far(pairs);
    }
  }

  double top() const { return static_cast<double>(centre_.top); }

  /// @param scale of top()
  /// @returns false if the slice is none for fp32
  template <typename T>
  HWY_INLINE bool settle(const Pairs<T>& pairs, const TopScale& scale, RowPartial& p) {
    if (HWY_LIKELY(kind_ == Kind::near && near_partial(lanes_, centre_, scale, pairs.columns, p) && pivot_accepted(p))) {
      return true;
    }
    return settle_again(pairs, p);
  }

 private:
  enum class Kind { nothing, near, wide, far };
  static constexpr float kFarSpread = 4.0f;  // of the head: beyond, policy and reference are likely to share little

  // All of one sign: a common offset.
  HWY_INLINE bool centre_on(const SliceHead& head) {
    centre_.top = head.top_policy;
    centre_.pivot = head.lowest > 0.0f || head.highest < 0.0f ? 0.5f * (head.lowest + head.highest) : 0.0f;
    return std::fabs(head.top_policy) < HUGE_VALF;
  }
  HWY_INLINE float spread_of(const SliceHead& head) const {
    return std::max(head.highest - centre_.pivot, centre_.pivot - head.lowest);
  }

  template <typename T>
  HWY_INLINE void sum_near(const Pairs<T>& pairs) {
    if (HWY_LIKELY(centre_.pivot == 0.0f && !masked_)) return sum_near<false, false>(pairs);
    if (!masked_) return sum_near<true, false>(pairs);
    centre_.pivot == 0.0f ? sum_near<false, true>(pairs) : sum_near<true, true>(pairs);
  }

  template <bool kPivot, bool kMasked, typename T>
  HWY_NOINLINE void sum_near(const Pairs<T>& pairs) {
    NearSums sums{DF()};
    std::size_t i = 0;
    bool met_infinity = false;
    {
      NearLoop<kPivot, kMasked> loop(centre_, sums);
      i = add_columns(pairs, 0, loop);
      met_infinity = i != pairs.columns && loop.met_infinity();
    }
    if (!kMasked && met_infinity) {
      masked_ = true;
      NearLoop<kPivot, true> loop(centre_, sums);
      i = add_columns(pairs, i, loop);
    }
    if (HWY_LIKELY(i == pairs.columns)) {
      store(sums, lanes_);
      kind_ = Kind::near;
    } else {
      sum_wide(pairs, i, WideSums(sums));
    }
  }

  template <typename T>
  HWY_INLINE void sum_wide(const Pairs<T>& pairs) {
    sum_wide(pairs, 0, WideSums(DF()));
  }
  // From column `begin` on; `sums` are of those before.
  template <typename T>
  HWY_INLINE void sum_wide(const Pairs<T>& pairs, std::size_t begin, const WideSums& sums) {
    centre_.pivot == 0.0f ? sum_wide<false>(pairs, begin, sums) : sum_wide<true>(pairs, begin, sums);
  }
  template <bool kPivot, typename T>
  HWY_NOINLINE void sum_wide(const Pairs<T>& pairs, std::size_t begin, WideSums sums) {
    tops_.policy = find_top(pairs);
    Unmatched unmatched{DF()};
    std::size_t i = begin;
    if (!masked_) {
      WideLoop<kPivot, false> loop(centre_, sums, unmatched);
      i = add_columns(pairs, i, loop);
    }
    if (i != pairs.columns) {
      WideLoop<kPivot, true> loop(centre_, sums, unmatched);
      add_columns(pairs, i, loop);
    }
    store(sums, lanes_);
    flags_ = unmatched.flags();
    kind_ = Kind::wide;
  }

  template <typename T>
  HWY_NOINLINE void sum_far(const Pairs<T>& pairs) {
    tops_ = find_tops(pairs);
    FarSums sums{DF()};
    Unmatched unmatched{DF()};
    std::size_t i = 0;
    if (!masked_) {
      FarLoop<false> loop(tops_, sums, unmatched);
      i = add_columns(pairs, 0, loop);
    }
    rescale(sums);
    if (i != pairs.columns) {
      FarLoop<true> loop(tops_, sums, unmatched);
      add_columns(pairs, i, loop);
    }
    store(sums, lanes_);
    flags_ = unmatched.flags();
    kind_ = Kind::far;
  }

  enum class Verdict { accepted, refused, unusable };

  // What the sums make.
  template <typename T>
  Verdict partial(const Pairs<T>& pairs, RowPartial& p) const {
    const auto verdict = [](bool usable, bool accepted) {
      return !usable ? Verdict::unusable : accepted ? Verdict::accepted : Verdict::refused;
    };
    switch (kind_) {
      case Kind::near: {
        const bool usable = near_partial(lanes_, centre_, top_scale(top()), pairs.columns, p);
        return verdict(usable, pivot_accepted(p));
      }
      case Kind::wide: {
        const bool usable = wide_partial(lanes_, centre_, top_scale(top()), flags_, pairs.columns, p);
        return verdict(usable, wide_accepted(p, static_cast<double>(tops_.policy)));
      }
      case Kind::far: {
        const FarTotals totals(lanes_, tops_);
        const bool accepted = totals.usable() && totals.accepted(flags_);
        if (accepted) p = totals.partial(flags_);
        return verdict(totals.usable(), accepted);
      }
      default:
        return Verdict::unusable;
    }
  }

  // The head was not like the rest, the pivot was wrong, or what was thought far is not.
  template <typename T>
  HWY_NOINLINE bool settle_again(const Pairs<T>& pairs, RowPartial& p) {
    const bool at_zero = centre_.pivot == 0.0f;
    bool looked = false, tried_far = kind_ == Kind::far;
    for (int attempt = 0; attempt < 6; ++attempt) {
      const Verdict verdict = partial(pairs, p);
      if (verdict == Verdict::accepted) {
        if (at_zero && kind_ != Kind::far) back_to_zero(p);
        return true;
      }
      if (verdict == Verdict::unusable) {
        if (looked || !look_again(pairs)) return false;
        looked = true;
      } else if (kind_ == Kind::far) {
        // Not far: now the pivot is known.
        const FarTotals totals(lanes_, tops_);
        centre_ = {tops_.policy, static_cast<float>(totals.offset())};
        sum_wide(pairs);
      } else if (!tried_far && kind_ == Kind::wide && !(p.M > -0.99 * p.S && p.M < 100.0 * p.S && std::fabs(p.T) < 0.2 * p.S)) {
        tried_far = true;
        sum_far(pairs);
      } else {
        // To what a pivot of ln(1 + M/S) makes 0.
        const float moved = centre_.pivot + static_cast<float>(std::log1p(p.M / p.S));
        if (!(std::fabs(moved) < HUGE_VALF) || moved == centre_.pivot) return false;
        centre_.pivot = moved;
        kind_ == Kind::near ? sum_near(pairs) : sum_wide(pairs);
      }
    }
    return false;
  }

  // Sums again, knowing all columns. False: some logit is NaN or +inf.
  template <typename T>
  bool look_again(const Pairs<T>& pairs) {
    const SliceLook look = look_closely(pairs);
    if (!look.valid) return false;
    masked_ = true;
    if (look.top_policy > -HUGE_VALF && look.top_reference > -HUGE_VALF) {
      centre_on(look.head());
      spread_of(look.head()) < kNearU ? sum_near(pairs) : sum_wide(pairs);
    } else {
      sum_far(pairs);
    }
    return true;
  }

  // Most slices of a row are centred on 0, and merge faster if all are. fp64 sums lose nothing by it, unless what the
  // pivot took off was nearly everything.
  static HWY_INLINE void back_to_zero(RowPartial& p) {
    if (std::fabs(p.pivot) > 12.0) return;
    RowPartial at_zero = p;
    klmesh::detail::move_pivot(at_zero, at_zero.reference_exponent, 0.0);
    if (at_zero.K < 1e6 * p.K && at_zero.F < 1e6 * p.F) p = at_zero;
  }

  FewLanes lanes_;
  FloatCentre centre_;
  FarTops tops_;
  std::uint32_t flags_;
  Kind kind_;
  bool masked_;
};

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
