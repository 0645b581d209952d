#include "io/chunk_cache.hpp"

#include <gtest/gtest.h>

namespace klmesh::io {
namespace {

constexpr std::size_t megabyte = std::size_t{1} << 20;

TEST(ChunkCache, HoldsTheBandOfOneRow) {
  const ChunkCache cache = chunk_cache(1000, {100, 300}, 8);
  EXPECT_EQ(cache.bytes, megabyte);  // never less than HDF5's own
  EXPECT_GE(cache.slots, 521U);
  EXPECT_EQ(chunk_cache(8192, {1024, 2048}, 4).bytes, 32 * megabyte);
  EXPECT_EQ(chunk_cache(8193, {1024, 2048}, 4).bytes, 40 * megabyte);  // a band of 5
}

TEST(ChunkCache, IsBoundedButHoldsOneChunk) {
  EXPECT_EQ(chunk_cache(1 << 30, {1024, 1024}, 4).bytes, largest_chunk_cache_bytes);
  EXPECT_EQ(chunk_cache(1 << 30, {1 << 10, 1 << 20}, 2).bytes, 2048 * megabyte);
  EXPECT_LT(chunk_cache(1 << 30, {1, 1}, 2).slots, 2'000'000U);
}

TEST(ChunkCache, HasAPrimeNumberOfSlotsAFewTimesTheBand) {
  const std::size_t slots = chunk_cache(50257, {1024, 197}, 4).slots;  // a band of 256
  EXPECT_GT(slots, 4 * 256U);
  EXPECT_LT(slots, 20 * 256U);
  for (std::size_t divisor = 2; divisor * divisor <= slots; ++divisor) EXPECT_NE(slots % divisor, 0U);
}

}  // namespace
}  // namespace klmesh::io
