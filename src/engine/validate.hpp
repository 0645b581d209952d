// What can be wrong with the arguments of an engine call, found without communication.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/backend.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

/// @throws InvalidArgument unless `stream` is one of the kind of device that has this memory
void validate_stream(Backend::Memory memory, StreamRef stream);

/// What lies in the device's memory is not looked at: its numbers are judged row by row, on the device.
/// @throws InvalidArgument naming the argument
void validate_batch(const Batch& batch, std::size_t tokens, const VocabShard& shard, Backend::Memory memory,
                    StreamRef stream);

/// @throws InvalidArgument naming the option
void validate_options(const EvaluateOptions& options);

/// @throws InvalidArgument naming the span whose size is not `rows`
void validate_inputs(const RowInputs& inputs, std::size_t rows);

/// @throws InvalidArgument naming the argument; on the host also the first row whose kl_reverse is weighted but infinite,
///         or whose jensen_shannon is weighted but was not evaluated
void validate_gradient(const Batch& batch, std::span<const TokenStats> tokens, const RowScales& scales,
                       const GradientView& output, const VocabShard& shard, Backend::Memory memory);

/// The order that Renyi sums are formed for; NaN: none are needed, since none was asked for or it is 1.
double summed_renyi_order(const EvaluateOptions& options);

/// What ranks that share rows must agree on: shapes, types, scales and options; on the host also the contents of targets,
/// mask and sequence ids.
std::uint64_t batch_fingerprint(const Batch& batch, const EvaluateOptions& options, const VocabShard& shard,
                                Backend::Memory memory);

/// The same for gradient(): also which scales are given, and how the output is written.
std::uint64_t gradient_fingerprint(const Batch& batch, const RowScales& scales, const GradientView& output,
                                   const VocabShard& shard, Backend::Memory memory);

}  // namespace klmesh
