// Pairs of logits as fp32 vectors, straight from memory of any 32- or 16-bit type; compiled once per SIMD target.

#if defined(KLMESH_CORE_CPU_PAIR_READER_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_PAIR_READER_INL_H
#undef KLMESH_CORE_CPU_PAIR_READER_INL_H
#else
#define KLMESH_CORE_CPU_PAIR_READER_INL_H
#endif

#include <algorithm>

#include "core/cpu/float_math-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

struct TwoVectors {
  VF first, second;
};

// Which column sits in which lane depends on the type, and on the position in the slice alone.
HWY_INLINE TwoVectors load_two(DF d, const float* p) {
  return {hn::LoadU(d, p), hn::LoadU(d, p + hn::Lanes(d))};
}
// Even columns, odd columns: one operation each, no shuffle.
HWY_INLINE TwoVectors load_two(DF d, const hwy::bfloat16_t* p) {
  const DU du;
  const auto both = hn::BitCast(du, hn::LoadU(hn::Repartition<std::uint16_t, DF>(), reinterpret_cast<const std::uint16_t*>(p)));
  return {hn::BitCast(d, hn::ShiftLeft<16>(both)), hn::BitCast(d, hn::And(both, hn::Set(du, 0xffff0000u)))};
}
HWY_INLINE VF load_one(DF d, const float* p) { return hn::LoadU(d, p); }
template <typename T16>
HWY_INLINE VF load_one(DF d, const T16* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<T16, DF>(), p));
}
HWY_INLINE TwoVectors load_two(DF d, const hwy::float16_t* p) { return {load_one(d, p), load_one(d, p + hn::Lanes(d))}; }

// Asks for what will be read some slices later: the two streams of a row are short, and start anew with each.
template <typename T>
HWY_INLINE void prefetch_two(const T* p) {
  constexpr std::size_t kAhead = 6144, kLine = 64;  // bytes
  for (std::size_t i = 0; i < 2 * hn::Lanes(DF()) * sizeof(T); i += kLine) {
    hwy::Prefetch(reinterpret_cast<const char*>(p) + kAhead + i);
  }
}

// The last columns of a slice, fewer than a vector: further lanes hold a logit of no weight.
inline constexpr float kNoWeight = -1e30f;
template <typename T>
HWY_INLINE VF load_some(DF d, const T* p, std::size_t count) {
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(float)] = {};
  std::copy(p, p + count, buffer);
  return hn::IfThenElse(hn::FirstN(d, count), load_one(d, buffer), hn::Set(d, kNoWeight));
}

// Two runs of columns of one type, and how many.
template <typename T>
struct Pairs {
  const T* a;
  const T* b;
  std::size_t columns;
};

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
