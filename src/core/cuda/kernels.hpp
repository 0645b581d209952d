// The passes over logits on a GPU: the names and contracts of core/kernels.hpp. Everything that a span, a view or a row
// list points to is memory the stream's device can read; calls enqueue work and return; nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "klmesh/divergence.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/row_partial.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh::cuda {

/// Bytes of device memory that row_partials() works in, for up to `rows` rows of a shard: where rows are few, one is
/// spread over several blocks, which leave the partials of their slices there. 16-byte aligned memory is needed.
/// Grows with rows up to a bound of about 100 KB.
std::size_t row_partials_workspace_bytes(std::int64_t rows, const VocabShard& shard, bool extended);

/// One fused read of both shards: each row's partials over this shard's slices, folded along the slice tree.
///
/// The same contract as cpu::row_partials. f32, f16 and bf16, also f32 beside one of the others, at any scales from 2^-10
/// to 2^10, are computed in fp32, with fp64 once per slice; f64, f16 beside bf16 and scales beyond in fp64. Unequal
/// scales, and types that differ at scales other than 1, take about twice the instructions of the rest. A row's bits depend neither on grid, occupancy, alignment, stride, number of rows nor number of parts; they
/// differ from the CPU's within the bars of NUMERICS.
/// @param renyi_alpha NaN: no Renyi divergence was asked for
/// @param workspace at least row_partials_workspace_bytes(), not shared by calls that may run at the same time
/// @throws InvalidArgument for a host stream, or a workspace that is too small
/// @throws CudaError
void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended,
                  double renyi_alpha, std::span<std::byte> workspace, StreamRef stream);

}  // namespace klmesh::cuda
