// The backward pass on a GPU.
#pragma once

#include <span>

#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::cuda {

/// Gradient of the scaled objective with respect to this shard's policy logits; see RowScales. The contract of
/// cpu::gradient; every pointer, those of the spans included, is memory that the stream's device can read.
///
/// f32, f16 and bf16 logits are computed in fp32 a column (fp64 a row), f64 in fp64: errors of at most 2e-6 of the
/// row's largest entry beside those of `tokens`. A column's bits depend on nothing but its row's numbers.
/// Cost: one read of both sides, one write; 16 bytes an access where the rows are aligned alike.
/// @throws InvalidArgument for a host stream
/// @throws CudaError
void gradient(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
              const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
              const GradientView& output, StreamRef stream);

}  // namespace klmesh::cuda
