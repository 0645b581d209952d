// Additions to fixed-point sums by many threads.
#pragma once

#include <cstdint>

#include "loop/fixed_point.hpp"

namespace klmesh::loop::cuda {

/// The bits of a magnitude order as the magnitudes do; NaN is the largest.
__device__ inline std::uint32_t magnitude_bits(float value) { return __float_as_uint(value) & 0x7FFFFFFFu; }

/// The word of any value: of one that does not fit some word, and the bound is going to say so.
__device__ inline std::int64_t word_of(float value) {
  // The product is exact, so there is one rounding, as in fixed_point_word().
  return __double2ll_rn(static_cast<double>(value) * kFixedPointScale);
}

/// Wraps: sums that are going to be refused may do so, and do so alike on all ranks.
__device__ inline void atomic_add(std::int64_t* word, std::int64_t addend) {
  atomicAdd(reinterpret_cast<unsigned long long*>(word), static_cast<unsigned long long>(addend));
}

}  // namespace klmesh::loop::cuda
