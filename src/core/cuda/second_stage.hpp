// The second read of the logits on a GPU, for what needs both normalisers first.
#pragma once

#include <span>

#include "core/fold.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::cuda {

/// Jensen-Shannon, total variation and KL[pi || mixture] of this shard's columns, row by row. The contract of
/// cpu::second_stage; every pointer, those of the spans included, is memory that the stream's device can read.
///
/// f32, f16 and bf16 are computed in fp32 and summed in fp64 from 32 columns on; f64 in fp64. A row's bits depend neither
/// on grid, alignment, stride nor number of parts.
/// @param tokens   (rows) of which the normalizer is used
/// @param partials (rows) output; masked and invalid rows get zeros
/// Cost: one read of both sides.
/// @throws InvalidArgument for a host stream
/// @throws CudaError
void second_stage(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<const TokenStats> tokens, std::span<SecondStagePartial> partials,
                  StreamRef stream);

}  // namespace klmesh::cuda
