// Vector helpers shared by the CPU kernels; compiled once per SIMD target. Everything is fp64: f32 logits convert
// exactly, and the sums meet the accuracy of NUMERICS for every input type.

#if defined(KLMESH_CORE_CPU_VECTOR_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_VECTOR_MATH_INL_H
#undef KLMESH_CORE_CPU_VECTOR_MATH_INL_H
#else
#define KLMESH_CORE_CPU_VECTOR_MATH_INL_H
#endif

#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "klmesh/row_partial.hpp"

// Loop bodies are lambdas that keep their accumulators in registers; a call would spill them for every vector.
#ifndef KLMESH_INLINE_LAMBDA
#define KLMESH_INLINE_LAMBDA __attribute__((always_inline))
#endif

HWY_BEFORE_NAMESPACE();
namespace klmesh::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;
using Mask = hn::Mask<D>;

// Lanes never read past a slice: a tail is copied here first and padded with -inf, which carries no mass.
inline constexpr std::size_t kMaxLanes = HWY_MAX_BYTES / sizeof(double);

HWY_INLINE V load(D d, const double* p) { return hn::LoadU(d, p); }
HWY_INLINE V load(D d, const float* p) { return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, D>(), p)); }

// exp on all of [-inf, inf]; the library's is not valid past 706 and at the infinities.
HWY_INLINE V exp_any(D d, V x) {
  const V top = hn::Set(d, 706.0);
  const V bottom = hn::Set(d, -1000.0);
  const V y = hn::Exp(d, hn::Max(bottom, hn::Min(x, top)));
  return hn::IfThenElse(hn::Gt(x, top), hn::Set(d, HUGE_VAL), y);
}

// x - exponent ln 2, rounded once for any integer exponent.
HWY_INLINE V above_reference(D d, V x, V exponent) {
  const V high = hn::NegMulAdd(exponent, hn::Set(d, kLn2), x);
  return hn::NegMulAdd(exponent, hn::Set(d, kLn2Low), high);
}

// b - a - c. For fp64 logits the difference is taken without error first: under a common offset, its rounding
// would be as large as what is left.
template <typename T>
HWY_INLINE V centred_difference(D d, V a, V b, V pivot) {
  const V s = hn::Sub(b, a);
  if constexpr (sizeof(T) == 4) {
    (void)d;
    return hn::Sub(s, pivot);
  } else {
    const V bb = hn::Sub(s, b);
    const V error = hn::Sub(hn::Sub(b, hn::Sub(s, bb)), hn::Add(a, bb));
    return hn::Add(hn::Sub(s, pivot), error);
  }
}

// Where the series of expm1(u) - u is used: what it leaves out is below 2e-13 of the result there.
inline constexpr double kNear = 0.5;

HWY_INLINE V expm1_minus(D d, V u) {
  // u^2 (1/2! + u/3! + ... + u^10/12!)
  V p = hn::Set(d, 1.0 / 479001600.0);
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 39916800.0));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 3628800.0));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 362880.0));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 40320.0));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 5040.0));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 720.0));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 120.0));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 24.0));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0 / 6.0));
  p = hn::MulAdd(p, u, hn::Set(d, 0.5));
  return hn::Mul(hn::Mul(u, u), p);
}

}  // namespace klmesh::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
