// Counter-based random numbers (Philox4x32-10): a pure function of seed, purpose, step and global index.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/random_block.hpp"

namespace klmesh::loop {

using klmesh::RandomPurpose;
using klmesh::RandomStream;
using klmesh::uniform53;
using klmesh::uniform53_numerator;

/// random_words() as an array.
std::array<std::uint32_t, 4> random_block(const RandomStream& stream, std::uint64_t major,
                                          std::uint32_t minor);

/// The blocks (major, first_minor ... first_minor + words[0].size() - 1), word by word: words[w][i].
/// Vectorised. The same numbers as random_block(). The four spans must have one size.
void random_blocks(const RandomStream& stream, std::uint64_t major, std::uint32_t first_minor,
                   const std::array<std::span<std::uint32_t>, 4>& words);

/// Uniform in (0, 1), number `index` of the stream.
double random_uniform(const RandomStream& stream, std::uint64_t index);

/// Uniform in 0 .. bound - 1, number `index` of the stream (multiply and shift; bias below bound / 2^64).
/// @throws InvalidArgument unless bound >= 1
std::int64_t random_below(const RandomStream& stream, std::uint64_t index, std::int64_t bound);

}  // namespace klmesh::loop
