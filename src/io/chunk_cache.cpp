#include "io/chunk_cache.hpp"

#include <algorithm>

namespace klmesh::io {
namespace {

constexpr std::size_t default_cache_bytes = std::size_t{1} << 20;  // HDF5's own
constexpr std::size_t default_slots = 521;
constexpr std::size_t most_slots = 1'000'003;

bool is_prime(std::size_t n) {
  for (std::size_t divisor = 2; divisor * divisor <= n; ++divisor)
    if (n % divisor == 0) return false;
  return n > 1;
}

// Two chunks in one slot evict each other. HDF5 numbers chunks along a row, so a prime a few times the band
// keeps them apart.
std::size_t slots_for(std::size_t chunks) {
  std::size_t slots = std::clamp(chunks, default_slots / 8, most_slots / 8) * 8 + 1;
  while (!is_prime(slots)) ++slots;
  return slots;
}

}  // namespace

ChunkCache chunk_cache(std::int64_t columns, std::array<std::int64_t, 2> chunk, std::size_t element_bytes) {
  const auto [chunk_rows, chunk_columns] = chunk;
  const std::size_t chunk_bytes =
      static_cast<std::size_t>(chunk_rows) * static_cast<std::size_t>(chunk_columns) * element_bytes;
  const std::size_t band = static_cast<std::size_t>((columns - 1) / chunk_columns + 1);
  const std::size_t fitting = std::max<std::size_t>(1, largest_chunk_cache_bytes / chunk_bytes);
  const std::size_t chunks = std::min(band, fitting);
  return {slots_for(chunks), std::max(default_cache_bytes, chunks * chunk_bytes)};
}

}  // namespace klmesh::io
