// Vocabulary-parallel embeddings on a GPU: the lookup, and the gradient's way back.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"
#include "loop/fixed_point.hpp"
#include "loop/matrix.hpp"

namespace klmesh::loop::cuda {

/// Each word's embedding where the word is this shard's, else all bits 0: an integer sum over the vocabulary group then
/// completes the inputs exactly. A word outside the vocabulary is no shard's.
///
/// @param embeddings (shard columns, width) without gaps
/// @param words      (count) global vocabulary indices
/// @param inputs     (count, width) output
void look_up(const VocabShard& shard, Matrix<const float> embeddings, std::span<const std::int32_t> words,
             std::span<float> inputs, StreamRef stream);

/// Adds the gradient of every input to the embedding of its word, in fixed point: any order gives the same bits. Each
/// word is an addition of its own for the bound, as on the host.
///
/// @param dinputs     (count, width)
/// @param dembeddings (shard columns, width)
/// Cost: one integer atomic an element of this shard's words.
void scatter(const VocabShard& shard, std::span<const std::int32_t> words, std::span<const float> dinputs,
             const FixedPointTensor& dembeddings, StreamRef stream);

}  // namespace klmesh::loop::cuda
