// Additions to fixed-point sums in the host's memory.
#pragma once

#include <cstdint>
#include <span>

#include "loop/fixed_point.hpp"

namespace klmesh::loop {

/// Adds `values` to the elements from `offset` on, one addition for the bound. Never throws for bad values.
/// Cost: about 0.3 ns a value in cache.
void add(const FixedPointTensor& tensor, std::int64_t offset, std::span<const float> values);
void add(const FixedPointTensor& tensor, std::int64_t offset, double value);

/// The values of words, rounded to nearest; of one size.
void read(std::span<const std::int64_t> words, std::span<float> values);

/// a + b modulo 2^64: sums that are going to be refused may wrap, which is defined for unsigned integers alone.
inline std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

}  // namespace klmesh::loop
