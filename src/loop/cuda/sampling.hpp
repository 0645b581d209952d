// Sampling a position of all sequences on a GPU: what the model sees, and what was drawn.
#pragma once

#include <cstdint>
#include <span>

#include "klmesh/stream.hpp"
#include "loop/tensor_ops.hpp"

namespace klmesh::loop::cuda {

/// TensorOps::contexts_at().
void fill_contexts(const SamplePosition& at, std::span<const std::int32_t> tokens, std::span<std::int32_t> contexts,
                   std::span<std::int32_t> position_contexts, StreamRef stream);

/// The last part of TensorOps::draw_tokens(): writes a position's winners to the sequences that have not ended.
/// @param winners (sequences) merged over the vocabulary
void write_tokens(const SamplePosition& at, std::span<const GumbelMax> winners, const SampleState& state,
                  StreamRef stream);

}  // namespace klmesh::loop::cuda
