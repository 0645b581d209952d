// The two passes over logits. cpu/ implements them with SIMD; a device back end implements the same names.
#pragma once

#include <span>

#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/row_partial.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::cpu {

/// One fused read of both shards: each row's partial over this shard's slices, folded along the slice tree.
///
/// Both views have the same dtype and at least shard.columns() columns; further ones are padding and not read.
/// @param partials (rows) output; masked rows are not looked at and get an empty partial
/// Cost: about one exponential per pair where policy and reference are close, two elsewhere, in fp64.
void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<RowPartial> partials);

/// Gradient of the scaled objective with respect to this shard's policy logits; see RowScales. Masked and invalid
/// rows get zeros (or nothing added).
void gradient(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
              const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
              const GradientView& output);

}  // namespace klmesh::cpu
