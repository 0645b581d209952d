// Logits with what their type leaves off, so that a small difference of large logits survives; and e^x of them.
#pragma once

#include <cfloat>
#include <cmath>

namespace klmesh::cuda {

/// high + low, |low| at most half a unit in the last place of high: 48 bits.
struct FloatPair {
  float high, low;
};

__device__ inline FloatPair split(double x) {
  const float high = static_cast<float>(x);
  // What is no float at all (an infinite divergence) has no remainder.
  return {high, isinf(high) ? 0.0f : static_cast<float>(x - static_cast<double>(high))};
}

/// What multiplies a side's logits. kScaled = false: by 1, and all of this disappears.
template <bool kScaled>
__device__ inline FloatPair scaled(float x, FloatPair factor) {
  if constexpr (!kScaled) return {x, 0.0f};
  const float product = x * factor.high;
  if (isinf(product)) return {isinf(x) ? x : copysignf(FLT_MAX, x), 0.0f};  // a finite logit stays finite
  return {product, __fmaf_rn(x, factor.low, __fmaf_rn(x, factor.high, -product))};
}

/// a - centre, rounded about once.
template <bool kScaled>
__device__ inline float above(FloatPair a, FloatPair centre) {
  return (a.high - centre.high) + (kScaled ? a.low - centre.low : -centre.low);
}

/// b - a with its rounding error, so that a centre can be taken off it later: Knuth's two-difference.
template <bool kScaled>
__device__ inline FloatPair difference(FloatPair b, FloatPair a) {
  const float s = b.high - a.high;
  const float bb = s - b.high;
  const float error = (b.high - (s - bb)) - (a.high + bb);
  return {s, kScaled ? error + (b.low - a.low) : error};
}

/// (b - a) - centre.
__device__ inline float centred(FloatPair difference, FloatPair centre) {
  return (difference.high - centre.high) + (difference.low - centre.low);
}

/// 2^x on the special-function unit; error 2 units in the last place.
__device__ inline float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// e^(a - centre), for a value of at most about 1; 0 below 2^-126. The exponent is split off first: e^-30 is as good as e^0.
template <bool kScaled>
__device__ inline float exp_above(FloatPair a, FloatPair centre) {
  constexpr float kLog2e = 1.44269502f, kLog2eLow = 1.92596303e-8f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, in the low bits
  // The centre's remainder joins after the exponent is off, except where a's own comes with it.
  const float whole = kScaled ? fminf(above<true>(a, centre), 1.0f) : a.high - centre.high;
  const float x = fmaxf(whole, -88.0f);
  const float shifted = __fmaf_rn(x, kLog2e, kRound);
  const float n = shifted - kRound;
  float fraction = __fmaf_rn(x, kLog2e, -n);
  fraction = __fmaf_rn(x, kLog2eLow, fraction);
  if constexpr (!kScaled) fraction = __fmaf_rn(-centre.low, kLog2e, fraction);
  const float power = __uint_as_float((__float_as_uint(shifted) + 127u) << 23);  // 2^n, n >= -127 (0)
  return exp2_approx(fraction) * power;
}

/// expm1(x) - x for |x| < 1/2, by its series; what is left out is below 3e-8 of the value.
__device__ inline float expm1_minus(float x) {
  float p = 1.0f / 40320.0f;
  p = __fmaf_rn(p, x, 1.0f / 5040.0f);
  p = __fmaf_rn(p, x, 1.0f / 720.0f);
  p = __fmaf_rn(p, x, 1.0f / 120.0f);
  p = __fmaf_rn(p, x, 1.0f / 24.0f);
  p = __fmaf_rn(p, x, 1.0f / 6.0f);
  p = __fmaf_rn(p, x, 0.5f);
  return x * x * p;
}

/// A scaled f64 logit and what its rounding left.
struct DoublePair {
  double high, low;
};

__device__ inline DoublePair scaled(double x, double factor) {
  const double product = x * factor;
  if (isinf(product)) return {isinf(x) ? x : copysign(DBL_MAX, x), 0.0};  // a finite logit stays finite
  return {product, __fma_rn(x, factor, -product)};
}

/// (b - a) - centre.
__device__ inline double centred_difference(DoublePair b, DoublePair a, double centre) {
  const double s = b.high - a.high;
  const double bb = s - b.high;
  const double error = (b.high - (s - bb)) - (a.high + bb);
  return (s - centre) + (error + (b.low - a.low));
}

}  // namespace klmesh::cuda
