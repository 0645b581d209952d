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

// 2^f for |f| <= 0.5: exactly 1 at 0, relative error 1e-7.
HWY_INLINE VF exp2_fraction(DF d, VF f) {
  VF p = hn::Set(d, 0x1.5bba14p-10f);
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.3cea88p-7f));
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.c6b752p-5f));
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.ebf9bcp-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 0x1.62e42ap-1f));
  return hn::MulAdd(p, f, hn::Set(d, 1.0f));
}

#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
// 2^t: 0 far below 0, infinity from 128 on; relative error 1.5e-7.
HWY_INLINE VF exp2_bounded(DF d, VF t) {
  const VF n = hn::Round(t);
  return VF{_mm512_scalef_ps(exp2_fraction(d, hn::Sub(t, n)).raw, n.raw)};
}
#else
// 2^t: exactly 0 at and below -127, infinity from 128 on; relative error 1.5e-7. The clamps and the exponent are
// integer operations: the multiply-add ports are what this kernel waits for.
HWY_INLINE VF exp2_bounded(DF d, VF t) {
  const DU du;
  const DI di;
  // As unsigned numbers, the bits of negative floats grow with their magnitude, and lie above those of positive ones;
  // as signed ones, positive floats grow with their magnitude, and lie above the negative ones.
  const auto above = hn::BitCast(di, hn::Min(hn::BitCast(du, t), hn::BitCast(du, hn::Set(d, -127.0f))));
  const VF bounded = hn::BitCast(d, hn::Min(above, hn::BitCast(di, hn::Set(d, 128.0f))));
  const VF magic = hn::Set(d, 12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const VF shifted = hn::Add(bounded, magic);
  const VF p = exp2_fraction(d, hn::Sub(bounded, hn::Sub(shifted, magic)));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}
#endif

// (e^u - 1 - u) / u^2 for |u| <= 0.5, relative error 3e-8.
inline constexpr float kNearU = 0.5f;
HWY_INLINE VF phi_ratio_near(DF d, VF u) {
  VF p = hn::Set(d, 0x1.a0908ep-13f);
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.6e5adcp-10f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.11124cp-7f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.5553f0p-5f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.555554p-3f));
  return hn::MulAdd(p, u, hn::Set(d, 0.5f));
}

// The same for |u| <= ln 2, relative error 7e-9.
HWY_INLINE VF phi_ratio(DF d, VF u) {
  VF p = hn::Set(d, 0x1.a193c4p-16f);
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.a4ed7ap-13f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.6c199ap-10f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.110c86p-7f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.555550p-5f));
  p = hn::MulAdd(p, u, hn::Set(d, 0x1.55555ap-3f));
  return hn::MulAdd(p, u, hn::Set(d, 0.5f));
}

// expm1(u) and phi = expm1(u) - u, both without cancellation.
struct Expm1 {
  VF expm1, phi;
};

// |u| <= 30. With n = trunc(u / ln 2), r = u - n ln 2, s = 2^n:
// expm1 = s (r + phi(r)) + (s - 1), phi = s phi(r) + (s - 1)(1 + r) - n ln 2.
HWY_INLINE Expm1 expm1_mid(DF d, VF u) {
  const DI di;
  const VF n = hn::Trunc(hn::Mul(u, hn::Set(d, kLog2e)));
  const VF r = hn::NegMulAdd(n, hn::Set(d, 0.693147180559945f), u);
  const VF phi_r = hn::Mul(hn::Mul(r, r), phi_ratio(d, r));
  const VF one = hn::Set(d, 1.0f);
  const VF s = hn::BitCast(d, hn::Add(hn::ShiftLeft<23>(hn::ConvertTo(di, n)), hn::BitCast(di, one)));
  const VF s_minus_1 = hn::Sub(s, one);
  const VF expm1 = hn::MulAdd(s, hn::Add(r, phi_r), s_minus_1);
  const VF phi = hn::MulAdd(s, phi_r, hn::MulAdd(s_minus_1, hn::Add(one, r), hn::Sub(r, u)));
  return {expm1, phi};
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
