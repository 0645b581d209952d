// Gumbel-max sampling on a GPU, the vocabulary sharded: the tokens that the CPU draws from equal logits.
#pragma once

#include <cstdint>
#include <span>

#include "core/gumbel.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::cuda {

/// argmax over the shard of logit + gumbel_noise(), row by row; of equal scores the lowest column. No communication.
///
/// Row i draws the noise of token first_token + i * token_step. Scores are fp64, with the CPU's bits. Most logarithms are
/// skipped, where a bound shows that a column can't win; the result is the one without skipping.
/// @param logits     at least shard.columns() columns; scale is 1 / temperature
/// @param candidates (rows) output; GumbelMax::none: no finite logit, GumbelMax::invalid: NaN or +inf
/// Cost: one read of the logits; one Philox block a pair of columns.
/// @throws InvalidArgument for a host stream
/// @throws CudaError
void gumbel_argmax(const LogitsView& logits, const VocabShard& shard, const RandomStream& random,
                   std::int64_t first_token, std::int64_t token_step, std::span<GumbelMax> candidates, StreamRef stream);

/// Merges the candidates of all shards, row by row.
/// @param gathered (parts, rows) as an all-gather leaves them
/// @param merged   (rows) output; may be the first rows of `gathered`
void merge_candidates(std::span<const GumbelMax> gathered, std::span<GumbelMax> merged, StreamRef stream);

}  // namespace klmesh::cuda
