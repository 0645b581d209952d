// fp32 vectors to memory of any 32- or 16-bit type, past the caches where that is possible; compiled once per SIMD target.

#if defined(KLMESH_CORE_CPU_GRADIENT_STORE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_GRADIENT_STORE_INL_H
#undef KLMESH_CORE_CPU_GRADIENT_STORE_INL_H
#else
#define KLMESH_CORE_CPU_GRADIENT_STORE_INL_H
#endif

#include <cstdint>

#include "core/cpu/decode.hpp"
#include "core/cpu/pair_reader-inl.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {

inline constexpr std::size_t kLineBytes = 64;  // what a non-temporal store should fill

template <typename Out>
HWY_INLINE bool is_aligned(const Out* p) {
  return reinterpret_cast<std::uintptr_t>(p) % kLineBytes == 0;
}
// How many elements lie before the next cache line.
template <typename Out>
HWY_INLINE std::size_t columns_to_alignment(const Out* p) {
  return (kLineBytes - reinterpret_cast<std::uintptr_t>(p) % kLineBytes) % kLineBytes / sizeof(Out);
}

using HalfU16 = hn::Rebind<std::uint16_t, DF>;

// Bits of the nearest bf16, ties to even; x is no NaN.
HWY_INLINE hn::Vec<HalfU16> narrow(DF, VF x, hwy::bfloat16_t*) {
  const DU du;
  const auto bits = hn::BitCast(du, x);
  const auto last = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(du, 0x7fffu)), last);
  return hn::TruncateTo(HalfU16(), hn::ShiftRight<16>(rounded));
}
HWY_INLINE hn::Vec<HalfU16> narrow(DF d, VF x, hwy::float16_t*) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  (void)d;
  return hn::BitCast(HalfU16(), hn::DemoteTo(hn::Rebind<hwy::float16_t, DF>(), x));
#else
  HWY_ALIGN float wide[HWY_MAX_BYTES / sizeof(float)];
  std::uint16_t bits[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(x, d, wide);
  encode(wide, static_cast<std::int64_t>(hn::Lanes(d)), DType::f16, bits);
  return hn::LoadU(HalfU16(), bits);
#endif
}

// Two vectors, one after the other. @param stream `out` is aligned, and nobody reads it soon
HWY_INLINE void store_two(DF d, const TwoVectors& x, bool stream, float* out) {
  if (stream) {
    hn::Stream(x.first, d, out);
    hn::Stream(x.second, d, out + hn::Lanes(d));
  } else {
    hn::StoreU(x.first, d, out);
    hn::StoreU(x.second, d, out + hn::Lanes(d));
  }
}
template <typename Out>
HWY_INLINE void store_two(DF d, const TwoVectors& x, bool stream, Out* out) {
  const hn::Twice<HalfU16> d16;
  const auto both = hn::Combine(d16, narrow(d, x.second, out), narrow(d, x.first, out));
  auto* bits = reinterpret_cast<std::uint16_t*>(out);
  if (stream) {
    hn::Stream(both, d16, bits);
  } else {
    hn::StoreU(both, d16, bits);
  }
}

// The first `count` lanes.
HWY_INLINE void store_some(DF d, VF x, std::size_t count, float* out) {
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(x, d, lanes);
  std::copy(lanes, lanes + count, out);
}
template <typename Out>
HWY_INLINE void store_some(DF d, VF x, std::size_t count, Out* out) {
  std::uint16_t lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::StoreU(narrow(d, x, out), HalfU16(), lanes);
  std::copy(lanes, lanes + count, reinterpret_cast<std::uint16_t*>(out));
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
