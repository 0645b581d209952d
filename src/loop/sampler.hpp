// Sampling from the policy: Gumbel-max over a sharded vocabulary, the same tokens on every mesh.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/gumbel.hpp"
#include "klmesh/communicator.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/vocab_shard.hpp"
#include "loop/policy.hpp"
#include "loop/random.hpp"

namespace klmesh::loop {

using klmesh::gumbel_noise;
using klmesh::GumbelMax;

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

/// What to sample: this rank's part of a batch of sequences.
struct SampleRequest {
  std::int64_t first_sequence = 0;  ///< global index of this rank's first sequence
  std::int64_t sequences = 0;       ///< of this rank; may be 0; equal in the vocabulary group
  std::int64_t length = 0;          ///< tokens a sequence at most
  std::uint64_t seed = 0;
  std::uint32_t step = 0;  ///< other steps draw other noise
};

/// Sampled sequences. Row of a token: sequence * length + position.
struct SampleBatch {
  std::int64_t sequences = 0;
  std::int64_t length = 0;
  std::int32_t context = 0;
  std::vector<std::int32_t>
      tokens;  ///< (sequences, length); <eos> ends a sequence; what follows is <eos>, mask 0
  std::vector<std::uint8_t> mask;      ///< (sequences, length)
  std::vector<std::int32_t> contexts;  ///< (sequences, length, context) what the model saw at each token
};

/// Copies the `context.size()` words before `position` into `context`, oldest first; <bos> where there are
/// none.
void fill_context(std::span<const std::int32_t> sequence, std::int64_t position,
                  std::span<std::int32_t> context);

/// Samples sequences from the policy. Collective over the world.
///
/// Noise is keyed by (seed, step, global sequence * length + position, column): the same tokens on every mesh
/// of whole subtrees and for any split of the sequences. Cost: `length` forward passes of `sequences` rows,
/// each with one further exchange of 16 bytes a row.
/// @throws InvalidData on every rank, if the policy's logits are NaN or +inf, or none is finite
SampleBatch sample_sequences(const Policy& policy, Mesh& mesh, const SampleRequest& request);

}  // namespace klmesh::loop
