// fp64 vector helpers shared by the CPU kernels; compiled once per SIMD target. f32 logits convert exactly. Those of the
// fp32 lanes are in float_math-inl.h.

#if defined(KLMESH_CORE_CPU_VECTOR_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef KLMESH_CORE_CPU_VECTOR_MATH_INL_H
#undef KLMESH_CORE_CPU_VECTOR_MATH_INL_H
#else
#define KLMESH_CORE_CPU_VECTOR_MATH_INL_H
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

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

// Vectors never read past a run of columns: the tail is copied to an array of this many first.
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

// What multiplies the two sides' logits (1 / temperature).
struct Scales {
  double policy = 1.0;
  double reference = 1.0;

  bool any() const { return policy != 1.0 || reference != 1.0; }
};

// A scaled logit as an unevaluated sum, so that a small difference of large logits survives the scaling.
struct Scaled {
  V high, low;
};

template <bool kScaled>
HWY_INLINE Scaled scale(D d, V x, double factor) {
  if constexpr (!kScaled) return {x, hn::Zero(d)};
  const V f = hn::Set(d, factor);
  const V infinity = hn::Set(d, HUGE_VAL);
  const V largest = hn::Set(d, std::numeric_limits<double>::max());
  const V product = hn::Mul(x, f);
  // A finite logit stays finite, however large the factor; fma(-inf, f, inf) would be NaN.
  const V high = hn::IfThenElse(hn::Lt(hn::Abs(x), infinity), hn::Max(hn::Neg(largest), hn::Min(product, largest)), product);
  return {high, hn::IfThenElseZero(hn::Lt(hn::Abs(product), infinity), hn::MulSub(x, f, product))};
}

// x - exponent ln 2, for a scaled logit.
template <bool kScaled>
HWY_INLINE V above_reference(D d, Scaled x, V exponent) {
  const V above = above_reference(d, x.high, exponent);
  return kScaled ? hn::Add(above, x.low) : above;
}

// b - a - (steps ln 2 + pivot). For fp64 or scaled logits b - a is taken without error first: under a common offset,
// its rounding would be as large as what is left. Differences of f32 logits are as good as exact.
template <typename T, bool kScaled>
HWY_INLINE V centred_difference(D d, Scaled a, Scaled b, V steps, V pivot) {
  const V s = hn::Sub(b.high, a.high);
  const V centred = hn::Sub(above_reference(d, s, steps), pivot);
  if constexpr (sizeof(T) == 4 && !kScaled) return centred;
  const V bb = hn::Sub(s, b.high);
  const V error = hn::Sub(hn::Sub(b.high, hn::Sub(s, bb)), hn::Add(a.high, bb));
  return hn::Add(centred, kScaled ? hn::Add(error, hn::Sub(b.low, a.low)) : error);
}

// Calls body(a, b) for every vector of two runs of columns; the last is padded with -inf, which carries no mass.
template <typename T, typename Body>
HWY_INLINE void for_each_vector(const T* a, const T* b, std::int64_t columns, Body&& body) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) body(load(d, a + i), load(d, b + i));
  if (i == columns) return;
  T tail_a[kMaxLanes];
  T tail_b[kMaxLanes];
  std::fill_n(tail_a, lanes, -std::numeric_limits<T>::infinity());
  std::fill_n(tail_b, lanes, -std::numeric_limits<T>::infinity());
  std::copy(a + i, a + columns, tail_a);
  std::copy(b + i, b + columns, tail_b);
  body(load(d, tail_a), load(d, tail_b));
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
