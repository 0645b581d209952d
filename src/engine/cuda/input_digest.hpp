// Whether the ranks that share rows were given the same inputs: what lies in device memory the host cannot compare, so a
// digest of it travels with the partials, and rows whose digests differ are invalid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/cuda/row_chunks.hpp"
#include "engine/exchange_plan.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"

namespace klmesh::cuda {

/// Puts a digest of the inputs of each block's rows behind its partials: 64 bits of mask, and of target and sequence id
/// where the row counts, keyed by the row's place in the batch. Two inputs that differ have one digest once in 2^64.
/// @param send as PartialLayout has it
/// Cost: one read of the inputs, one launch.
void digest_inputs(const RowInputs& inputs, const ExchangePlan& plan, const RowChunks& chunks, std::span<std::byte> send,
                   StreamRef stream);

/// Marks the finished rows of every block whose digests are not the same for all parts with kInputsDiffer, masked rows too;
/// invalid_column is the lowest part that differs from part 0.
/// @param received as PartialLayout has it
/// @param tokens   (rows) what finish() wrote
void compare_digests(std::span<const std::byte> received, const ExchangePlan& plan, const RowChunks& chunks,
                     std::span<TokenStats> tokens, StreamRef stream);

}  // namespace klmesh::cuda
