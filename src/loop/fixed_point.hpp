// Gradients as integers: multiples of 2^-50, and beside each tensor a bound that shows when they may have wrapped.
// Host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "klmesh/host_device.hpp"

namespace klmesh::loop {

inline constexpr double kFixedPointScale = 0x1p50;      ///< words per unit
inline constexpr double kFixedPointValueLimit = 0x1p11; ///< magnitudes of added values must be below
inline constexpr double kFixedPointSumLimit = 0x1p13;   ///< bounds must be below: the words then can't have wrapped

/// Bounds are in units of 2^-30, rounded up. A saturated one is above any limit, and 2^18 of them still add up.
inline constexpr double kBoundScale = 0x1p30;
inline constexpr std::int64_t kBoundSaturated = std::int64_t{1} << 44;
inline constexpr std::int64_t kBoundLimit = std::int64_t{1} << 43;
static_assert(static_cast<double>(kBoundLimit) == kFixedPointSumLimit * kBoundScale);

/// One tensor's sums, borrowed.
///
/// A value is added to a word as fixed_point_word(), modulo 2^64. With every addition the bound grows, by
/// bound_term() of the largest magnitude among what is added to different words of the tensor at once: it is never less
/// than the largest sum of magnitudes in one word.
struct FixedPointTensor {
  std::int64_t* words = nullptr;  ///< (size)
  std::int64_t size = 0;
  std::int64_t* bound = nullptr;  ///< (1) between 0 and a few kBoundSaturated
};

KLMESH_HD inline bool fits_fixed_point(double value) { return std::fabs(value) < kFixedPointValueLimit; }

/// The word of a value that fits: rounded to nearest, ties to even.
KLMESH_HD inline std::int64_t fixed_point_word(double value) {
  return static_cast<std::int64_t>(std::nearbyint(value * kFixedPointScale));
}

/// The value of a word, rounded to nearest.
KLMESH_HD inline float fixed_point_value(std::int64_t word) {
  return static_cast<float>(static_cast<double>(word) * 0x1p-50);
}

/// What an addition of values up to this magnitude adds to the bound; NaN and what does not fit saturate it.
KLMESH_HD inline std::int64_t bound_term(double magnitude) {
  return magnitude < kFixedPointValueLimit ? static_cast<std::int64_t>(std::ceil(magnitude * kBoundScale))
                                           : kBoundSaturated;
}

KLMESH_HD inline std::int64_t saturated_bound(std::int64_t bound) {
  return bound < kBoundSaturated ? bound : kBoundSaturated;
}

KLMESH_HD inline bool is_valid_bound(std::int64_t bound) { return bound < kBoundLimit; }

}  // namespace klmesh::loop
