// fp32 vector helpers of the forward kernel; compiled once per SIMD target.

#if defined(KLMESH_CORE_CPU_FLOAT_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_FLOAT_MATH_INL_H
#undef KLMESH_CORE_CPU_FLOAT_MATH_INL_H
#else
#define KLMESH_CORE_CPU_FLOAT_MATH_INL_H
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

// Loop bodies are lambdas that keep their accumulators in registers; a call would spill them for every vector.
#ifndef KLMESH_INLINE_LAMBDA
#define KLMESH_INLINE_LAMBDA __attribute__((always_inline))
#endif

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using VI = hn::Vec<DI>;

inline constexpr float kLog2e = 1.44269504088896340736f;
/// d/dt of what 2^t misses if kLog2e stands for log2(e), relative to it
inline constexpr double kLog2eError = 0.69314718055994530942 * (1.44269504088896340736 / static_cast<double>(kLog2e) - 1.0);

// 2^t, exactly 1 at 0, relative error 1.5e-7; 0 far below 0, infinity or a huge number from 128 on. NaN and
// infinities need not come out as such.
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
// 2^(j / 16): what is left of t then takes a polynomial of degree 3.
alignas(64) inline constexpr float kExp2Table[16] = {
    0x1.000000p+0f, 0x1.0b5586p+0f, 0x1.172b84p+0f, 0x1.2387a6p+0f, 0x1.306fe0p+0f, 0x1.3dea64p+0f, 0x1.4bfdaep+0f,
    0x1.5ab07ep+0f, 0x1.6a09e6p+0f, 0x1.7a1148p+0f, 0x1.8ace54p+0f, 0x1.9c4918p+0f, 0x1.ae89fap+0f, 0x1.c199bep+0f,
    0x1.d5818ep+0f, 0x1.ea4afap+0f};

HWY_INLINE VF exp2_bounded(DF d, VF t) {
  const VF magic = hn::Set(d, 0x1.8p+19f);  // adding it leaves the nearest multiple of 1/16 in the low bits
  const VF shifted = hn::Add(t, magic);
  const VF n = hn::Sub(shifted, magic);
  const VF f = hn::Sub(t, n);
  const VF power{_mm512_permutexvar_ps(hn::BitCast(DI(), shifted).raw, hn::Load(d, kExp2Table).raw)};
  VF p = hn::MulAdd(hn::Set(d, 0x1.c6b08ep-5f), f, hn::Set(d, 0x1.ebfff4p-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.62e430p-1f));
  return VF{_mm512_scalef_ps(hn::MulAdd(power, hn::Mul(p, f), power).raw, n.raw)};
}
#else
// t as it is, or -127 below that, or 127 above that. These are integer operations: the multiply-add ports are what this
// kernel waits for. As unsigned numbers, the bits of negative floats grow with their magnitude, and lie above those of
// positive ones; as signed ones, positive floats grow with their magnitude, and lie above the negative ones.
HWY_INLINE VF bounded_exponent(DF d, VF t) {
  const DU du;
  const DI di;
  const auto above = hn::BitCast(di, hn::Min(hn::BitCast(du, t), hn::BitCast(du, hn::Set(d, -127.0f))));
  return hn::BitCast(d, hn::Min(above, hn::BitCast(di, hn::Set(d, 127.0f))));
}

#if HWY_TARGET == HWY_AVX2
// 2^(j / 8), and a polynomial of degree 3.
alignas(32) inline constexpr float kExp2Table[8] = {0x1.000000p+0f, 0x1.172b84p+0f, 0x1.306fe0p+0f, 0x1.4bfdaep+0f,
                                                    0x1.6a09e6p+0f, 0x1.8ace54p+0f, 0x1.ae89fap+0f, 0x1.d5818ep+0f};

HWY_INLINE VF exp2_bounded(DF d, VF t_any) {
  const DI di;
  const VF t = bounded_exponent(d, t_any);
  const VF magic = hn::Set(d, 0x1.8p+20f);  // adding it leaves the nearest multiple of 1/8 in the low bits
  const VF shifted = hn::Add(t, magic);
  const VF f = hn::Sub(t, hn::Sub(shifted, magic));
  const auto steps = hn::BitCast(di, shifted);
  const VF power{_mm256_permutevar8x32_ps(hn::Load(d, kExp2Table).raw, steps.raw)};
  VF p = hn::MulAdd(hn::Set(d, 0x1.c6b08ep-5f), f, hn::Set(d, 0x1.ec0c30p-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.62e430p-1f));
  const VF w = hn::MulAdd(power, hn::Mul(p, f), power);
  return hn::BitCast(d, hn::Add(hn::BitCast(di, w), hn::ShiftLeft<23>(hn::ShiftRight<3>(steps))));
}
#else
HWY_INLINE VF exp2_bounded(DF d, VF t_any) {
  const DI di;
  const VF t = bounded_exponent(d, t_any);
  const VF magic = hn::Set(d, 0x1.8p+23f);
  const VF shifted = hn::Add(t, magic);
  const VF f = hn::Sub(t, hn::Sub(shifted, magic));
  VF p = hn::MulAdd(hn::Set(d, 0x1.5bba14p-10f), f, hn::Set(d, 0x1.3cea88p-7f));
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.c6b752p-5f));
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.ebf9bcp-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.62e42ap-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}
#endif
#endif

// (e^u - 1 - u) / u^2 for |u| <= 0.5, relative error 3e-8.
inline constexpr float kNearU = 0.5f;
HWY_INLINE VF phi_ratio_near(DF d, VF u) {
  VF p = hn::MulAdd(hn::Set(d, 0x1.a0908ep-13f), u, hn::Set(d, 0x1.6e5adcp-10f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.11124cp-7f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.5553f0p-5f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.555554p-3f));
  return hn::MulAdd(p, u, hn::Set(d, 0.5f));
}

// The same for |u| <= 1, relative error 1e-7.
inline constexpr float kSmallU = 1.0f;
HWY_INLINE VF phi_ratio_small(DF d, VF u) {
  VF p = hn::MulAdd(hn::Set(d, 0x1.a31844p-16f), u, hn::Set(d, 0x1.aa206ep-13f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.6c2386p-10f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.10fda2p-7f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.55551cp-5f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.55557ap-3f));
  return hn::MulAdd(p, u, hn::Set(d, 0.5f));
}

// b - a - c, rounded once: the difference is taken without error first (Knuth), as what is left of it under a common
// offset c would be no larger than its rounding.
HWY_INLINE VF exact_difference(VF a, VF b, VF c) {
  const VF s = hn::Sub(b, a);
  const VF bb = hn::Sub(s, b);
  const VF error = hn::Sub(hn::Sub(b, hn::Sub(s, bb)), hn::Add(a, bb));
  return hn::Add(hn::Sub(s, c), error);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
