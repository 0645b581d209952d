// How much of a chunked dataset HDF5 should keep decompressed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace klmesh::io {

/// Arguments of H5Pset_chunk_cache.
struct ChunkCache {
  std::size_t slots = 0;
  std::size_t bytes = 0;
};

/// The largest cache of one dataset: holds the band of a matrix of 50,257 columns in chunks as h5py chooses
/// them by itself (about 1 MB, high and narrow).
constexpr std::size_t largest_chunk_cache_bytes = std::size_t{256} << 20;

/// A cache for reading block of rows after block of rows: it holds the band of chunks that one row crosses,
/// so that the next block, which crosses the same chunks, finds them decompressed. A single chunk always
/// fits, up to the 4 GB that HDF5 allows; a band beyond largest_chunk_cache_bytes does not, and is
/// decompressed once per block: then read blocks that are as high as the chunks.
/// @param columns of the dataset (1 for a vector); @param chunk rows and columns of a chunk, each >= 1
ChunkCache chunk_cache(std::int64_t columns, std::array<std::int64_t, 2> chunk, std::size_t element_bytes);

}  // namespace klmesh::io
