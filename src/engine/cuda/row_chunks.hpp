// How a batch's exchange is cut, so that one chunk of rows travels while the next is computed. Each chunk is a batch of rows
// of its own: one exchange for it, in either schedule.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/exchange_plan.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

/// What a chunk must be worth. An exchange of n bytes takes alpha + beta n: alpha some 10 us inside a node (more across
/// two), 1 / beta some 100 GB/s, so below alpha / beta = 1 MB a rank, chunks would pay more latency than they hide. And a
/// launch takes some 5 us to fill a GPU and to drain: 8 M pairs keep the memory of a large one (3 to 8 TB/s, 4 to 8 bytes
/// a pair) busy for longer than that; by_rows has a launch for each part of a chunk, which share them. What stays exposed
/// is the exchange of the last chunk: an eighth, and further cuts gain little.
struct ChunkLimits {
  std::int64_t least_bytes = std::int64_t{1} << 20;  ///< that a rank receives from the others
  std::int64_t least_pairs = std::int64_t{8} << 20;  ///< of logits that a rank reads
  int most_chunks = 8;
};

/// Equal runs of rows of every block of a plan: chunk c is rows [c * rows, (c + 1) * rows) of each; the last is shorter.
struct RowChunks {
  std::int64_t block = 0;  ///< rows of a block
  std::int64_t rows = 0;   ///< of each block in a chunk
  int count = 1;

  RowRange of_block(int chunk) const noexcept {
    return {std::min(block, rows * chunk), std::min(block, rows * (chunk + 1))};
  }
};

/// A function of the shape alone, so the same on all ranks of the vocabulary group. One chunk if there is one part.
RowChunks row_chunks(const ExchangePlan& plan, const VocabShard& shard, const ChunkLimits& limits);

}  // namespace klmesh
