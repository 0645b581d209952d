// Counter-based random numbers (Philox4x32-10): a pure function of seed, purpose, step and global index.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace klmesh::loop {

/// What the numbers are for. Different purposes never share a number. Values are part of the format of a run.
enum class RandomPurpose : std::uint8_t {
  embeddings = 1,
  hidden_weights = 2,
  head = 3,
  sampling = 4,
  mle_batches = 5, reward_scores = 6
};

/// One stream of random numbers. No state: any rank can draw any number of it, in any order.
struct RandomStream {
  std::uint64_t seed = 0;
  RandomPurpose purpose = RandomPurpose::sampling;
  std::uint32_t step = 0;
};

/// Four 32-bit words for (major, minor).
/// @param major for example a global token index, < 2^56
/// @param minor for example a pair of vocabulary columns
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011; Random123.
std::array<std::uint32_t, 4> random_block(const RandomStream& stream, std::uint64_t major,
                                          std::uint32_t minor);

/// The blocks (major, first_minor ... first_minor + words[0].size() - 1), word by word: words[w][i].
/// Vectorised. The same numbers as random_block(). The four spans must have one size.
void random_blocks(const RandomStream& stream, std::uint64_t major, std::uint32_t first_minor,
                   const std::array<std::span<std::uint32_t>, 4>& words);

/// The odd numerator m, 0 < m < 2^53, of the uniform m / 2^53: never 0, never 1, exact.
constexpr std::uint64_t uniform53_numerator(std::uint32_t high, std::uint32_t low) noexcept {
  return ((static_cast<std::uint64_t>(high) << 32 | low) >> 11) | 1;
}

/// Uniform in the open interval (0, 1).
constexpr double uniform53(std::uint32_t high, std::uint32_t low) noexcept {
  return static_cast<double>(uniform53_numerator(high, low)) * 0x1p-53;
}

/// Uniform in (0, 1), number `index` of the stream.
double random_uniform(const RandomStream& stream, std::uint64_t index);

/// Uniform in 0 .. bound - 1, number `index` of the stream (multiply and shift; bias below bound / 2^64).
/// @throws InvalidArgument unless bound >= 1
std::int64_t random_below(const RandomStream& stream, std::uint64_t index, std::int64_t bound);

}  // namespace klmesh::loop
