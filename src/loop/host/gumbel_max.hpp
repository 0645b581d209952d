// Gumbel-max over a shard of the vocabulary, and over all shards.
#pragma once

#include <cstdint>
#include <span>

#include "core/gumbel.hpp"
#include "klmesh/communicator.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::loop {

/// argmax over the shard of logit + gumbel_noise; of equal scores the lowest column. No communication.
///
/// Most logarithms are skipped, where a bound shows that a column can't win; the result is the one without
/// skipping.
/// @param logits (shard.columns()) one row
/// Cost: about 1 ns a column.
GumbelMax gumbel_argmax(std::span<const float> logits, const VocabShard& shard, const RandomStream& stream,
                        std::uint64_t token_index);

/// Merges candidates of all shards, row by row: one exchange of 16 bytes a row. Equal on all ranks
/// afterwards.
void merge_candidates(std::span<GumbelMax> candidates, Communicator& vocab);

}  // namespace klmesh::loop
