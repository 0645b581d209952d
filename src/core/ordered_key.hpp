// Doubles as integers of the same order, so that minima and maxima reduce as integers. Host and device.
#pragma once

#include <cstdint>

#include "klmesh/row_partial.hpp"

namespace klmesh {

/// Order-preserving key of a number that is not NaN; never 0, so 0 can mean "none".
KLMESH_HD constexpr std::uint64_t ordered_key(double value) noexcept {
  const auto bits = __builtin_bit_cast(std::uint64_t, value);
  return (bits >> 63) != 0 ? ~bits : bits | (1ULL << 63);
}

KLMESH_HD constexpr double from_ordered_key(std::uint64_t key) noexcept {
  return __builtin_bit_cast(double, (key >> 63) != 0 ? key & ~(1ULL << 63) : ~key);
}

}  // namespace klmesh
