// Additions to fixed-point sums in device memory: the words and bounds of the host, so that ranks add the same integers.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/stream.hpp"
#include "loop/fixed_point.hpp"

namespace klmesh::loop::cuda {

/// words += values, one addition for the bound: what the host does with the same values, to the bit.
/// @param values  (up to tensor.size) the first ones are added to
/// @param largest one word of scratch
/// Cost: one pass, 20 bytes an element; two kernels.
void add(std::span<const float> values, const FixedPointTensor& tensor, std::uint32_t* largest, StreamRef stream);

/// The values of words, rounded to nearest.
void read(std::span<const std::int64_t> words, std::span<float> values, StreamRef stream);

/// Saturates bounds that ranks have added up.
void saturate(std::span<std::int64_t> bounds, StreamRef stream);

/// Saturates `bound` if `source` is not valid.
void invalidate_if(const std::int64_t* source, std::int64_t* bound, StreamRef stream);

/// invalid[t] = 1 where bounds[t] is not valid, else 0: what ranks take the maximum of.
void flag_invalid(std::span<const std::int64_t> bounds, std::span<std::uint64_t> invalid, StreamRef stream);

/// Saturates bounds where a flag is not 0.
void invalidate_flagged(std::span<const std::uint64_t> invalid, std::span<std::int64_t> bounds, StreamRef stream);

}  // namespace klmesh::loop::cuda
