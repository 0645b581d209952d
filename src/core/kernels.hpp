// The passes over logits. cpu/ implements them with SIMD; a device back end implements the same names.
#pragma once

#include <limits>
#include <span>

#include "core/fold.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/row_partial.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::cpu {

/// One fused read of both shards: each row's partials over this shard's slices, folded along the slice tree.
///
/// Views have at least shard.columns() columns; further ones are padding and not read. Types may differ: the wider
/// one is computed in. Row lists and scales are followed.
/// @param partials (rows) output; masked rows are not looked at and get an empty partial
/// @param extended (rows) output, or empty: core quantities alone
/// @param renyi_alpha of the sum that ExtendedPartial::renyi is, not 1; NaN: that sum stays empty
/// The core set of unscaled 32- and 16-bit logits alone is summed in fp32 lanes, everything else in fp64; so are slices of
/// which the fp32 sums are not accepted (rare: finfo.min in one side alone, among close columns).
/// Cost: about one exponential per pair where policy and reference are close, two elsewhere; three more for the
/// extended set, one for Renyi.
void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended,
                  double renyi_alpha = std::numeric_limits<double>::quiet_NaN());

/// Second read: what needs both normalisers first. Masked and invalid rows get zeros.
/// @param tokens   (rows) of which the normalizer is used
/// @param partials (rows) output
void second_stage(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<const TokenStats> tokens,
                  std::span<SecondStagePartial> partials);

/// Gradient of the scaled objective with respect to this shard's policy logits; see RowScales. Masked and invalid
/// rows get zeros (or nothing added).
///
/// In fp32 for unscaled 32- and 16-bit logits of one type and without jensen_shannon, in fp64 otherwise. What is written
/// goes past the caches where it fills cache lines. Every element depends on its own logits and its row's statistics
/// alone: the same bits for any shard, alignment and order of rows.
/// @param tokens (rows) of which normalizer and flags are used
void gradient(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
              const RowInputs& inputs, std::span<const TokenStats> tokens, const RowScales& scales,
              const GradientView& output);

}  // namespace klmesh::cpu
