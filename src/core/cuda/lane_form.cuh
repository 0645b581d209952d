// The forms that the fp32 lanes come in: types of both sides, and what multiplies their logits.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "core/cuda/float_pair.cuh"
#include "core/cuda/slice_fp64.cuh"

namespace klmesh::cuda {

inline constexpr float kLog2eF = 1.44269504088896341f;  // rounded; run_partial.cuh makes up for it
inline constexpr float kLn2F = 0.693147180559945309f;
inline constexpr float kLn2LowF = -1.904654299957768e-9f;  // ln 2 - kLn2F

/// |b - a| below which a column is near. Differences of 16-bit types are rounded before they are compared with it; below
/// ln 2 / 2 the general path is the near one, bit for bit.
inline constexpr float kNearU = 0.34f;
/// Scaled logits beyond +-2^20 are left to fp64 where they weigh anything.
inline constexpr float kFarLogit = 0x1p20f;

/// none: both by 1. equal: the exact difference is scaled, as on the CPU. unequal: each side is, with what its rounding
/// leaves; no column is taken for a near one.
enum class Scaling { none, equal, unequal };

template <DType kPolicyType, DType kReferenceType, Scaling kScalingOfLogits>
struct LaneForm {
  static constexpr DType kPolicy = kPolicyType, kReference = kReferenceType;
  static constexpr Scaling kScaling = kScalingOfLogits;
  /// f32 differences need what they round off: under a common offset it is as large as what is left.
  static constexpr bool kWide = kPolicy == DType::f32 || kReference == DType::f32;
  /// Two columns of both sides are looked at as a pair, undecoded.
  static constexpr bool kPacked = kPolicy == kReference && !kWide;
  /// log2 e times the lowest logits of the type is no float.
  static constexpr bool kCanOverflow = kPolicy != DType::f16;
  /// Vectors of eight columns of each side that a lane has in registers at a time.
  static constexpr int kVectors = kWide ? 1 : 4;
};

/// Scales as lanes take them.
struct FloatScales {
  FloatPair policy, reference;
  float log2e;       ///< log2 e times the policy's scale
  float inverse;     ///< 1 / log2e
  float near;        ///< kNearU before scaling
  float far;         ///< kFarLogit before the policy's scale
  float far_reference;
  double log2e_error;  ///< 1 - log2e ln 2 / scale: of the rounded log2e, relative

  explicit FloatScales(const Scales& s)
      : policy(parts(s.policy)), reference(parts(s.reference)), log2e(static_cast<float>(s.policy / kLn2)),
        inverse(static_cast<float>(kLn2 / s.policy)), near(static_cast<float>(kNearU / s.policy)),
        far(static_cast<float>(kFarLogit / s.policy)), far_reference(static_cast<float>(kFarLogit / s.reference)),
        log2e_error(1.0 - static_cast<double>(log2e) * kLn2 / s.policy) {}

 private:
  static FloatPair parts(double x) {
    const float high = static_cast<float>(x);
    return {high, static_cast<float>(x - static_cast<double>(high))};
  }
};

/// FloatScales, as compile-time constants where nothing is scaled.
template <Scaling kScaling>
struct ScaleOf {
  const FloatScales& s;
  __device__ __forceinline__ float log2e() const { return kScaling == Scaling::none ? kLog2eF : s.log2e; }
  __device__ __forceinline__ float inverse() const { return kScaling == Scaling::none ? kLn2F : s.inverse; }
  __device__ __forceinline__ float near() const { return kScaling == Scaling::none ? kNearU : s.near; }
  __device__ __forceinline__ float far() const { return kScaling == Scaling::none ? kFarLogit : s.far; }
  __device__ __forceinline__ float far_reference() const {
    return kScaling == Scaling::none ? kFarLogit : s.far_reference;
  }
};

}  // namespace klmesh::cuda
