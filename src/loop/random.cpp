#include "loop/random.hpp"

#include <algorithm>

#include "klmesh/error.hpp"
#include "loop/vector_clones.hpp"

namespace klmesh::loop {
namespace {

/// Rounds over arrays instead of one counter, so that the compiler can use one lane per counter.
constexpr std::size_t kLanes = 64;

KLMESH_VECTOR_CLONES void philox_lanes(std::uint64_t seed, const RandomWords& first, std::uint32_t* w0,
                                       std::uint32_t* w1, std::uint32_t* w2, std::uint32_t* w3) {
  for (std::size_t i = 0; i < kLanes; ++i) {
    std::uint32_t a = first.word[0] + static_cast<std::uint32_t>(i), b = first.word[1], c = first.word[2], d = first.word[3];
    auto key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p = std::uint64_t{0xD2511F53} * a;
      const std::uint64_t q = std::uint64_t{0xCD9E8D57} * c;
      a = static_cast<std::uint32_t>(q >> 32) ^ b ^ key0;
      b = static_cast<std::uint32_t>(q);
      c = static_cast<std::uint32_t>(p >> 32) ^ d ^ key1;
      d = static_cast<std::uint32_t>(p);
      key0 += 0x9E3779B9;
      key1 += 0xBB67AE85;
    }
    w0[i] = a;
    w1[i] = b;
    w2[i] = c;
    w3[i] = d;
  }
}

}  // namespace

std::array<std::uint32_t, 4> random_block(const RandomStream& stream, std::uint64_t major,
                                          std::uint32_t minor) {
  const RandomWords block = random_words(stream, major, minor);
  return std::to_array(block.word);
}

void random_blocks(const RandomStream& stream, std::uint64_t major, std::uint32_t first_minor,
                   const std::array<std::span<std::uint32_t>, 4>& words) {
  const std::size_t count = words[0].size();
  std::size_t done = 0;
  for (; done + kLanes <= count; done += kLanes) {
    philox_lanes(stream.seed, random_counter(stream, major, first_minor + static_cast<std::uint32_t>(done)),
                 &words[0][done], &words[1][done], &words[2][done], &words[3][done]);
  }
  for (; done < count; ++done) {
    const auto block = random_block(stream, major, first_minor + static_cast<std::uint32_t>(done));
    for (std::size_t w = 0; w < 4; ++w) words[w][done] = block[w];
  }
}

double random_uniform(const RandomStream& stream, std::uint64_t index) {
  const auto block = random_block(stream, index / 2, 0);
  return index % 2 == 0 ? uniform53(block[0], block[1]) : uniform53(block[2], block[3]);
}

std::int64_t random_below(const RandomStream& stream, std::uint64_t index, std::int64_t bound) {
  if (bound < 1) throw InvalidArgument("random_below: the bound must be at least 1");
  const auto block = random_block(stream, index, 1);
  const std::uint64_t word = static_cast<std::uint64_t>(block[0]) << 32 | block[1];
  // High half of a 128-bit product, from 32-bit halves: __int128 is no ISO C++.
  const auto b = static_cast<std::uint64_t>(bound);
  const std::uint64_t low_high = (word & 0xFFFFFFFFu) * (b >> 32);
  const std::uint64_t high_low = (word >> 32) * (b & 0xFFFFFFFFu);
  const std::uint64_t low_low = (word & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
  const std::uint64_t carry = ((low_low >> 32) + (low_high & 0xFFFFFFFFu) + (high_low & 0xFFFFFFFFu)) >> 32;
  return static_cast<std::int64_t>((word >> 32) * (b >> 32) + (low_high >> 32) + (high_low >> 32) + carry);
}

}  // namespace klmesh::loop
