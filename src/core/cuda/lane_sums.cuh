// The fp32 inner loop: what one lane adds up of its columns. Near columns cost one exponential; the six sums it takes,
// and how F, T and R follow from them, are derived in run_partial.cuh.
#pragma once

#include "core/cuda/chunk.cuh"

namespace klmesh::cuda {

inline constexpr float kLog2eF = 1.44269504088896341f;  // rounded; run_partial.cuh makes up for it
inline constexpr float kLn2F = 0.693147180559945309f;
inline constexpr float kLn2LowF = -1.904654299957768e-9f;  // ln 2 - kLn2F
/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
inline constexpr float kRound = 12582912.0f;

/// |u| beyond which fp32 products of u lose what the bars ask for.
inline constexpr float kWildU = 16.0f;
/// Logits beyond +-2^20 are left to fp64 where they weigh anything.
inline constexpr float kFarLogit = 0x1p20f;

enum LaneFlag : unsigned {
  kLaneLive = 1u << 0,    ///< some policy logit is above -2^20: the sums hold it
  kLaneFinite = 1u << 1,  ///< some pair is finite
  kLaneWild = 1u << 2,    ///< a column that fp32 cannot do: the run is done again in fp64
};

/// Sums over a lane's columns, in base 2: t = log2 e (a - m), w = 2^t, u = b - a - c.
/// As it lies in shared memory: two 16-byte words.
struct alignas(16) LaneSums {
  float S = 0.0f;    // sum w
  float T = 0.0f;    // sum w u
  float K = 0.0f;    // sum w phi(u), phi(u) = expm1(u) - u
  float X = 0.0f;    // sum w u expm1(u)
  float E = 0.0f;    // sum w t
  float R = 0.0f;    // sum w expm1(u) t
  float exponent = -1512775.0f;  // m / ln 2, an integer: at first that of -kFarLogit
  unsigned flags = 0;
};

// 2^x; 0 below -126.
__device__ __forceinline__ float exp2_approx(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

// phi(u) / u for |u| <= ln 2 / 2, to 1.3e-7 of it; the leading 1/2 is exact.
__device__ __forceinline__ float phi_over_u(float u) {
  float p = 0.0013905485393479466f;
  p = __fmaf_rn(p, u, 0.00836293026804924f);
  p = __fmaf_rn(p, u, 0.04166676476597786f);
  p = __fmaf_rn(p, u, 0.16666579246520996f);
  p = __fmaf_rn(p, u, 0.5f);
  return p * u;
}

// @param we w expm1(u)
__device__ __forceinline__ void add_terms(LaneSums& s, float w, float t, float u, float wu, float we) {
  s.S += w;
  s.T += wu;
  s.X = __fmaf_rn(u, we, s.X);
  s.E = __fmaf_rn(w, t, s.E);
  s.R = __fmaf_rn(we, t, s.R);
}

// One exponential, nothing to decide.
__device__ __forceinline__ void add_near(LaneSums& s, float a, float b) {
  const float u = b - a;
  const float t = __fmaf_rn(a, kLog2eF, -s.exponent);
  const float q = phi_over_u(u);
  const float w = exp2_approx(t);
  const float wu = w * u;
  s.K = __fmaf_rn(wu, q, s.K);
  add_terms(s, w, t, u, wu, __fmaf_rn(wu, q, wu));
}

// b - a - c. f32 logits need what the difference rounds off: under a common offset it is as large as what is left.
template <DType kType>
__device__ __forceinline__ float centred(float a, float b, float pivot) {
  const float d = b - a;
  if constexpr (kType != DType::f32) return d - pivot;
  const float bb = d - b;
  const float error = (b - (d - bb)) - (a + bb);
  return (d - pivot) + error;
}

// Any column: e^u = 2^n e^r with |r| <= ln 2 / 2, and expm1 and phi put together from the small terms. What fp32 cannot
// do is left out and flagged.
template <DType kType>
__device__ __forceinline__ void add_any(LaneSums& s, float a, float b, float pivot) {
  const bool no_mass = a == -INFINITY && b == -INFINITY;
  const bool far = a < -kFarLogit && b < -kFarLogit;  // of no weight beside any live logit
  float u = centred<kType>(a, b, pivot);
  const bool usable = fabsf(u) <= kWildU && !far;
  if (!usable) {
    u = 0.0f;
    if (!no_mass) s.flags |= far && a > -INFINITY && b > -INFINITY ? kLaneFinite : kLaneWild;
  }
  const float t = usable ? fmaxf(__fmaf_rn(a, kLog2eF, -s.exponent), -200.0f) : -200.0f;
  const float n_bits = __fmaf_rn(u, kLog2eF, kRound);
  const float n = n_bits - kRound;
  const float r = __fmaf_rn(-n, kLn2LowF, __fmaf_rn(-n, kLn2F, u));
  const float scale = __uint_as_float((__float_as_uint(n_bits) << 23) + 0x3f800000u);
  const float scale_minus_1 = scale - 1.0f;
  const float q = phi_over_u(r);
  const float e1 = __fmaf_rn(scale, __fmaf_rn(r, q, r), scale_minus_1);
  const float phi = __fmaf_rn(scale, r * q, __fmaf_rn(scale_minus_1, r, __fmaf_rn(-n, kLn2F, scale_minus_1)));
  const float w = exp2_approx(t);
  const float wu = w * u;
  const bool near = n == 0.0f;  // as add_near() has it
  s.K = __fmaf_rn(near ? wu : w, near ? q : phi, s.K);
  add_terms(s, w, t, u, wu, near ? __fmaf_rn(wu, q, wu) : w * e1);
}

// The reference m follows the lane's largest logit by powers of two, so that |t| is small where the weight is.
__device__ __forceinline__ void raise_reference(LaneSums& s, float policy_max) {
  const float exponent = __fmaf_rn(fmaxf(policy_max, -kFarLogit), kLog2eF, kRound) - kRound;
  const float rise = exponent - s.exponent;
  if (rise <= 1.0f) return;
  const float scale = __uint_as_float(__float_as_uint(kRound + (127.0f - fminf(rise, 127.0f))) << 23);
  s.E = scale * __fmaf_rn(-rise, s.S, s.E);
  s.R = scale * __fmaf_rn(-rise, s.T + s.K, s.R);
  s.S *= scale;
  s.T *= scale;
  s.K *= scale;
  s.X *= scale;
  s.exponent = exponent;
}

/// A lane at work on a run.
struct Lane {
  LaneSums sums;
  float top = -INFINITY;  // largest policy logit, padding included
  float pivot;
  bool any_pivot;         // in the warp

  // What the logits seen say of the sums.
  __device__ void classify() {
    if (top > kPadLogit) sums.flags |= kLaneFinite;
    if (top > -kFarLogit) sums.flags |= kLaneLive;
    if (!(top < kFarLogit)) sums.flags |= kLaneWild;
  }
};

/// Adds a chunk. Called by a whole warp: a chunk with any column that is not near takes the general path in all lanes,
/// which gives near columns the same bits.
template <DType kType, int kVectors>
__device__ __forceinline__ void add_chunk(Lane& lane, const Chunk<kType, kVectors>& chunk) {
  using E = Elements<kType>;
  const ChunkRange range = chunk_range(chunk);
  lane.top = fmaxf(lane.top, range.policy_max);
  raise_reference(lane.sums, range.policy_max);
  if (__all_sync(0xffffffffu, range.near && !lane.any_pivot)) {
#pragma unroll
    for (int i = 0; i < chunk.kWords; ++i) {
      add_near(lane.sums, E::low(chunk.a[i]), E::low(chunk.b[i]));
      if constexpr (E::kPerWord == 2) add_near(lane.sums, E::high(chunk.a[i]), E::high(chunk.b[i]));
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < chunk.kWords; ++i) {
    add_any<kType>(lane.sums, E::low(chunk.a[i]), E::low(chunk.b[i]), lane.pivot);
    if constexpr (E::kPerWord == 2) add_any<kType>(lane.sums, E::high(chunk.a[i]), E::high(chunk.b[i]), lane.pivot);
  }
}

}  // namespace klmesh::cuda
