// The exact sums of a step in device memory: the words of a StepSums, bit for bit.
#pragma once

#include <cstdint>
#include <span>

#include "core/sum_words.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/statistics.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::cuda {

/// StepSums::first_invalid() of a device, and what accumulate() keeps between its kernels.
struct InvalidRecord {
  InvalidRow first;
  unsigned long long row_of_any, row_of_inputs;  // the lowest of one call; all bits set: none
};

/// A step's sums on a device, in memory of the caller's. Laid out as StepSums::sum_words() and max_words() are, so that
/// a grouped reduction of integers over ranks, and StepSums::set_words() on the host, go on from there.
struct DeviceSums {
  SumLayout layout;
  std::span<std::int64_t> sums;     ///< (layout.sum_words())
  std::span<std::uint64_t> maxima;  ///< (layout.max_words())
  InvalidRecord* invalid;
};

/// Sums of no token.
void clear(const DeviceSums& sums, StreamRef stream);

/// Adds rows [first_row, last_row) as Engine::accumulate does: masked, invalid and counted rows, the quantities of the
/// latter. Any order, any split over calls or devices gives the same bits after carry().
///
/// @param tokens (rows) all of the batch, as are the spans of `inputs`
/// Cost: three kernels; additions to global memory once a block, but for sequences: those once a token. Up to 2^31
/// tokens between two carries.
void accumulate(std::span<const TokenStats> tokens, const RowInputs& inputs, std::int64_t first_row,
                std::int64_t last_row, const DeviceSums& sums, StreamRef stream);

/// Brings the words into the form that ranks exchange: what StepSums::sum_words() returns for the same tokens.
void carry(const DeviceSums& sums, StreamRef stream);

}  // namespace klmesh::cuda
