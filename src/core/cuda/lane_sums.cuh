// The fp32 inner loop: what one lane adds up of its columns. Near columns cost one exponential; the six sums it takes,
// and how F, T and R follow from them, are derived in run_partial.cuh.
#pragma once

#include "core/cuda/chunk.cuh"

namespace klmesh::cuda {

/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
inline constexpr float kRound = 12582912.0f;

/// What t reaches before the reference is raised.
inline constexpr float kMostT = 8.0f;
/// |u| beyond which fp32 products of u lose what the bars ask for.
inline constexpr float kWildU = 16.0f;

enum LaneFlag : unsigned {
  kLaneLive = 1u << 0,    ///< some scaled policy logit is above -2^20: the sums hold it
  kLaneFinite = 1u << 1,  ///< some pair is finite
  kLaneWild = 1u << 2,    ///< a column that fp32 cannot do: the run is done again in fp64
  /// A column that looked near, though its log2 e a is no float (finfo.min on both sides): E and R are NaN, and the run is
  /// done again without near columns. Looking for such logits beforehand would cost every column; they are masks.
  kLaneOverflow = 1u << 3,
};

/// Sums over a lane's columns, in base 2: t = log2 e (a - m), w = 2^t, u = b - a - c, of scaled logits.
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

// (b - a) scale, where that is near and there is no pivot.
template <typename Form>
__device__ __forceinline__ float near_difference(float a, float b, const FloatScales& scales) {
  const float d = b - a;
  return Form::kScaling == Scaling::none ? d : d * scales.policy.high;
}

// One exponential, nothing to decide.
template <typename Form>
__device__ __forceinline__ void add_near(LaneSums& s, float a, float b, const FloatScales& scales) {
  const float u = near_difference<Form>(a, b, scales);
  const float t = __fmaf_rn(a, ScaleOf<Form::kScaling>{scales}.log2e(), -s.exponent);
  const float q = phi_over_u(u);
  const float w = exp2_approx(t);
  const float wu = w * u;
  s.K = __fmaf_rn(wu, q, s.K);
  add_terms(s, w, t, u, wu, __fmaf_rn(wu, q, wu));
}

// What a product with a scale is, with what its rounding left.
__device__ __forceinline__ FloatPair exact_product(float x, FloatPair scale) {
  const float product = x * scale.high;
  return {product, __fmaf_rn(x, scale.low, __fmaf_rn(x, scale.high, -product))};
}

// b - a - c of the scaled logits.
template <typename Form>
__device__ __forceinline__ float centred_on(float a, float b, float pivot, const FloatScales& scales) {
  if constexpr (Form::kScaling == Scaling::unequal) {
    const FloatPair d = difference<true>(exact_product(b, scales.reference), exact_product(a, scales.policy));
    return (d.high - pivot) + d.low;
  } else if constexpr (Form::kScaling == Scaling::equal) {
    const FloatPair d = difference<false>({b, 0.0f}, {a, 0.0f});
    const FloatPair u = exact_product(d.high, scales.policy);
    const float low = Form::kWide ? __fmaf_rn(d.low, scales.policy.high, u.low) : u.low;
    return pivot == 0.0f ? u.high : (u.high - pivot) + low;  // as near_difference() has it
  } else if constexpr (Form::kWide) {
    const FloatPair d = difference<false>({b, 0.0f}, {a, 0.0f});
    return (d.high - pivot) + d.low;
  } else {
    return b - a - pivot;
  }
}

// e^u = 2^n e^r with |r| <= ln 2 / 2, and expm1 and phi put together from the small terms.
__device__ __forceinline__ void add_general(LaneSums& s, float t, float u) {
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

// A column that fp32 can do.
template <typename Form>
__device__ __forceinline__ void add_ordinary(LaneSums& s, float a, float b, float pivot, const FloatScales& scales) {
  add_general(s, __fmaf_rn(a, ScaleOf<Form::kScaling>{scales}.log2e(), -s.exponent), centred_on<Form>(a, b, pivot, scales));
}

// Any column. What fp32 cannot do is left out and flagged.
template <typename Form>
__device__ __forceinline__ void add_any(LaneSums& s, float a, float b, float pivot, const FloatScales& scales) {
  const ScaleOf<Form::kScaling> scale_of{scales};
  const bool no_mass = a == -INFINITY && b == -INFINITY;
  const bool far = a < -scale_of.far() && b < -scale_of.far_reference();  // of no weight beside any live logit
  const float u = centred_on<Form>(a, b, pivot, scales);
  const bool usable = fabsf(u) <= kWildU && !far;
  if (!usable && !no_mass) s.flags |= far && a > -INFINITY && b > -INFINITY ? kLaneFinite : kLaneWild;
  const float t = usable ? fmaxf(__fmaf_rn(a, scale_of.log2e(), -s.exponent), -200.0f) : -200.0f;
  add_general(s, t, usable ? u : 0.0f);
}

// Moves m to where the largest logit is, by a power of two.
__device__ __forceinline__ void raise_reference(LaneSums& s, float exponent) {
  const float rise = exponent - s.exponent;
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
template <typename Form>
class Lane {
 public:
  /// Called by a whole warp. @param careful no column is taken for a near one; those that are get the same bits
  __device__ Lane(float pivot, bool careful, const FloatScales& scales)
      : pivot_(pivot), scales_(scales), watch_(bounds(pivot, careful, scales)) {}

  /// Adds a chunk. Called by a whole warp: all lanes take the path that the hardest column needs. Each path gives the
  /// columns of the one before it the same bits.
  template <int kVectors>
  __device__ __forceinline__ void add(const Chunk<Form, kVectors>& chunk) {
    if constexpr (Form::kScaling == Scaling::unequal) {
      add_slowly(chunk);
    } else {
      const auto range = watch_.look(chunk);
      const bool near = watch_.near(range);
      // One vote for what is almost always so.
      if (!__all_sync(kFullWarp, near && !watch_.above_limit())) {
        if (watch_.above_limit()) {
          follow_top();
          note_weightless(chunk);
        }
        if (!__all_sync(kFullWarp, near)) return add_far(chunk, range);
      }
#pragma unroll
      for (int i = 0; i < chunk.kColumns; ++i) add_near<Form>(sums_, chunk.policy(i), chunk.reference(i), scales_);
    }
  }

  /// The same sums, in little code.
  template <int kVectors>
  __device__ __forceinline__ void add_slowly(const Chunk<Form, kVectors>& chunk) {
    watch_.look(chunk);
    if (watch_.above_limit()) follow_top();
    add_columns(chunk);
  }

  /// The sums, with what the logits seen say of them.
  __device__ LaneSums finish() const {
    LaneSums sums = sums_;
    const float top = watch_.top();
    if (top > kPadLogit) sums.flags |= kLaneFinite;
    if (top > -scale_of().far()) sums.flags |= kLaneLive;
    if (!(top < scale_of().far())) sums.flags |= kLaneWild;
    if (Form::kCanOverflow && isnan(sums.E)) sums.flags |= kLaneOverflow;
    return sums;
  }

 private:
  // A pivot moves what is compared: near columns are those without one, and the others have it to spare. 0.99 is for what
  // differences of 16-bit types are rounded by.
  static __device__ Bounds bounds(float pivot, bool careful, const FloatScales& scales) {
    const float near = ScaleOf<Form::kScaling>{scales}.near();
    const float ordinary = (0.99f * kWildU - fabsf(pivot)) * (near / kNearU);
    return {__any_sync(kFullWarp, careful || pivot != 0.0f) ? 0.0f : near, ordinary};
  }
  __device__ __forceinline__ ScaleOf<Form::kScaling> scale_of() const { return {scales_}; }

  template <int kVectors>
  __device__ __forceinline__ void add_far(const Chunk<Form, kVectors>& chunk, const typename Watch<Form>::Range& range) {
    if (!__all_sync(kFullWarp, watch_.ordinary(range) && weighs_as_float(chunk))) return add_columns(chunk);
#pragma unroll
    for (int i = 0; i < chunk.kColumns; ++i) add_ordinary<Form>(sums_, chunk.policy(i), chunk.reference(i), pivot_, scales_);
  }

  // Finite logits that the end does not see: no larger than the padding. The first chunk that holds any raises the top.
  template <int kVectors>
  __device__ __forceinline__ void note_weightless(const Chunk<Form, kVectors>& chunk) {
    if constexpr (Form::kCanOverflow) {
      if (watch_.top() > kPadLogit) return;
#pragma unroll
      for (int i = 0; i < chunk.kColumns; ++i) {
        if (chunk.policy(i) > -INFINITY && chunk.policy(i) != kPadLogit) sums_.flags |= kLaneFinite;
      }
    }
  }

  // Whether log2 e times the lowest logit is a float.
  template <int kVectors>
  static __device__ __forceinline__ bool weighs_as_float(const Chunk<Form, kVectors>& chunk) {
    float lowest = 0.0f;
    if constexpr (Form::kCanOverflow) {
#pragma unroll
      for (int i = 0; i < chunk.kColumns; ++i) lowest = fminf(lowest, chunk.policy(i));
    }
    return lowest >= kPadLogit;
  }

  template <int kVectors>
  __device__ __forceinline__ void add_columns(Chunk<Form, kVectors> chunk) {
#pragma unroll 1
    for (int i = 0; i < chunk.kColumns; i += 2, chunk.drop_two()) {
      add_any<Form>(sums_, chunk.policy(0), chunk.reference(0), pivot_, scales_);
      add_any<Form>(sums_, chunk.policy(1), chunk.reference(1), pivot_, scales_);
    }
  }

  // m follows the lane's largest logit, so that |t| is small where the weight is. It stays until that has risen by 2^8,
  // where t rounds by 2.4e-7: seldom after the first chunk.
  __device__ __forceinline__ void follow_top() {
    const float exponent = __fmaf_rn(fmaxf(watch_.top(), -scale_of().far()), scale_of().log2e(), kRound) - kRound;
    watch_.set_limit((exponent + kMostT) * scale_of().inverse());
    if (exponent - sums_.exponent > 1.0f) raise_reference(sums_, exponent);
  }

  LaneSums sums_;
  float pivot_;
  const FloatScales& scales_;
  Watch<Form> watch_;
};

}  // namespace klmesh::cuda
