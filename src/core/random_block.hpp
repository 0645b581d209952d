// Counter-based random numbers (Philox4x32-10): a pure function of seed, purpose, step and global index. Host and device.
#pragma once

#include <Random123/philox.h>

#include <cstdint>

#include "klmesh/row_partial.hpp"

namespace klmesh {

/// What the numbers are for. Different purposes never share a number. Values are part of the format of a run.
enum class RandomPurpose : std::uint8_t {
  embeddings = 1,
  hidden_weights = 2,
  head = 3,
  sampling = 4,
  mle_batches = 5,
  reward_scores = 6,
  distill_batches = 7
};

/// One stream of random numbers. No state: any rank can draw any number of it, in any order.
struct RandomStream {
  std::uint64_t seed = 0;
  RandomPurpose purpose = RandomPurpose::sampling;
  std::uint32_t step = 0;
};

/// Four 32-bit words.
struct RandomWords {
  std::uint32_t word[4];
};

/// minor, 56 bits of major, 8 bits of purpose, step: no two draws of a run share a counter. The key is the seed.
KLMESH_HD inline RandomWords random_counter(const RandomStream& stream, std::uint64_t major, std::uint32_t minor) {
  const auto high = static_cast<std::uint32_t>(major >> 32) << 8;
  return {{minor, static_cast<std::uint32_t>(major), high | static_cast<std::uint32_t>(stream.purpose), stream.step}};
}

/// Four words for (major, minor).
/// @param major for example a global token index, < 2^56
/// @param minor for example a pair of vocabulary columns
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011; Random123.
KLMESH_HD inline RandomWords random_words(const RandomStream& stream, std::uint64_t major, std::uint32_t minor) {
  const RandomWords c = random_counter(stream, major, minor);
  const philox4x32_ctr_t block{{c.word[0], c.word[1], c.word[2], c.word[3]}};
  const philox4x32_key_t key{{static_cast<std::uint32_t>(stream.seed), static_cast<std::uint32_t>(stream.seed >> 32)}};
  const philox4x32_ctr_t out = philox4x32_R(10, block, key);
  return {{out.v[0], out.v[1], out.v[2], out.v[3]}};
}

/// The odd numerator m, 0 < m < 2^53, of the uniform m / 2^53: never 0, never 1, exact.
KLMESH_HD constexpr std::uint64_t uniform53_numerator(std::uint32_t high, std::uint32_t low) noexcept {
  return ((static_cast<std::uint64_t>(high) << 32 | low) >> 11) | 1;
}

/// Uniform in the open interval (0, 1).
KLMESH_HD constexpr double uniform53(std::uint32_t high, std::uint32_t low) noexcept {
  return static_cast<double>(uniform53_numerator(high, low)) * 0x1p-53;
}

}  // namespace klmesh
