// What can be wrong with the arguments of an engine call, found without communication.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "klmesh/divergence.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

/// @throws InvalidArgument naming the argument
void validate_batch(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                    std::size_t tokens, const VocabShard& shard, StreamRef stream);

/// @throws InvalidArgument naming the span whose size is not `rows`
void validate_inputs(const RowInputs& inputs, std::size_t rows);

/// @throws InvalidArgument naming the argument, or the first row whose kl_reverse is weighted but infinite
void validate_gradient(const LogitsView& policy, const RowInputs& inputs, std::span<const TokenStats> tokens,
                       const RowScales& scales, const GradientView& output, const VocabShard& shard);

/// What ranks that share rows must agree on: shapes, types, scales, targets, mask, sequence ids and options.
std::uint64_t batch_fingerprint(const LogitsView& policy, const LogitsView& reference, const RowInputs& inputs,
                                const EvaluateOptions& options, const VocabShard& shard);

}  // namespace klmesh
