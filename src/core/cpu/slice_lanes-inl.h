// What the fp32 sums of a slice have in common: how columns are walked through, and how lanes become totals; compiled
// once per SIMD target.

#if defined(KLMESH_CORE_CPU_SLICE_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_SLICE_LANES_INL_H
#undef KLMESH_CORE_CPU_SLICE_LANES_INL_H
#else
#define KLMESH_CORE_CPU_SLICE_LANES_INL_H
#endif

#include "core/cpu/pair_reader-inl.h"
#include "core/cpu/slice_partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

inline constexpr float kNoWeightT = -1000.0f;  // 2^t is 0 there

// Up to seven sums of a slice, added up so far that two vectors hold them, four sums in every 16 bytes. What is left is
// done once the row is through: waiting for it would stop the next slice.
struct FewLanes {
  HWY_ALIGN float first[HWY_MAX_BYTES / sizeof(float)];
  HWY_ALIGN float second[HWY_MAX_BYTES / sizeof(float)];

  HWY_INLINE void store(VF s0, VF s1, VF s2, VF s3, VF s4, VF s5) {
    const VF pairs = add_pairs(s4, s5);
    hn::Store(add_quads(add_pairs(s0, s1), add_pairs(s2, s3)), DF(), first);
    hn::Store(add_quads(pairs, pairs), DF(), second);
  }
  HWY_INLINE void store(VF s0, VF s1, VF s2, VF s3, VF s4, VF s5, VF s6) {
    hn::Store(add_quads(add_pairs(s0, s1), add_pairs(s2, s3)), DF(), first);
    hn::Store(add_quads(add_pairs(s4, s5), add_pairs(s6, s6)), DF(), second);
  }
  HWY_INLINE double total(std::size_t k) const {
    const float* lanes = k < 4 ? first + k : second + (k - 4);
    double sum = 0.0;
    for (std::size_t i = 0; i < hn::Lanes(DF()); i += 4) sum += static_cast<double>(lanes[i]);
    return sum;
  }

 private:
  static HWY_INLINE VF add_pairs(VF x, VF y) {
    const DF d;
    return hn::Add(hn::InterleaveLower(d, x, y), hn::InterleaveUpper(d, x, y));
  }
  static HWY_INLINE VF add_quads(VF x, VF y) {
    const DF d;
    const hn::RepartitionToWide<DU> wide;
    const auto lower = hn::InterleaveLower(wide, hn::BitCast(wide, x), hn::BitCast(wide, y));
    const auto upper = hn::InterleaveUpper(wide, hn::BitCast(wide, x), hn::BitCast(wide, y));
    return hn::Add(hn::BitCast(d, lower), hn::BitCast(d, upper));
  }
};

// exp(top) = factor 2^exponent, with above = ln factor: what moves sums from a slice's own reference to a power of two.
// Of huge logits (is_huge()), the distance to a multiple of ln 2 means nothing.
struct TopScale {
  double exponent, above, factor;
};

inline TopScale top_scale(double top) {
  const double exponent = std::nearbyint(top / kLn2);
  const double above = is_huge(top) ? 0.0 : std::fma(-exponent, kLn2Low, std::fma(-exponent, kLn2, top));
  return {exponent, above, std::exp(above)};
}

// Which side's columns have no counterpart: lanes are 1 where there was one.
struct Unmatched {
  VF policy, reference;

  explicit HWY_INLINE Unmatched(DF d) : policy(hn::Zero(d)), reference(policy) {}

  template <typename Mask>
  HWY_INLINE void see(Mask in_policy, Mask in_reference) {
    const VF one = hn::Set(DF(), 1.0f);
    policy = hn::Or(policy, hn::IfThenElseZero(hn::AndNot(in_reference, in_policy), one));
    reference = hn::Or(reference, hn::IfThenElseZero(hn::AndNot(in_policy, in_reference), one));
  }
  /// Flags of a slice in which both sides have mass.
  HWY_INLINE std::uint32_t flags() const {
    const DF d;
    std::uint32_t bits = kPolicyHasMass | kReferenceHasMass;
    if (hn::GetLane(hn::MaxOfLanes(d, policy)) != 0.0f) bits |= kKlReverseInfinite;
    if (hn::GetLane(hn::MaxOfLanes(d, reference)) != 0.0f) bits |= kKlForwardInfinite;
    return bits;
  }
};

// Feeds columns from `begin` on to a loop; returns where it stopped because the loop can't take a block (whose sums it
// has not kept), or the number of columns. A block is so short that small terms are not absorbed.
template <typename Loop, typename T>
HWY_INLINE std::size_t add_columns(const Pairs<T>& pairs, std::size_t begin, Loop& loop) {
  constexpr std::size_t kBlock = 16;  // double vectors
  const DF d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t columns = pairs.columns;
  const T* a = pairs.a;
  const T* b = pairs.b;
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
    if (HWY_UNLIKELY(!loop.flush())) return start;
  }
  return columns;
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
