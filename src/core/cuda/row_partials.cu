#include <algorithm>

#include "core/cuda/cuda_check.hpp"
#include "core/cuda/kernels.hpp"
#include "core/cuda/rows_fp32.cuh"
#include "core/cuda/rows_fp64.cuh"
#include "klmesh/error.hpp"

namespace klmesh::cuda {
namespace {

// Blocks that look for flagged rows: what a GPU holds at a time, about.
constexpr unsigned kResolveBlocks = 264;

RowWork row_work(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                 const RowInputs& inputs) {
  const int slices = shard.last_slice - shard.first_slice;
  const RowGroups split = row_groups(policy.rows, slices);
  const int runs = slices * runs_per_slice(shard.vocab_size);
  return {.policy = Side(policy),
          .reference = Side(reference),
          .mask = inputs.mask.empty() ? nullptr : inputs.mask.data(),
          .targets = inputs.targets.empty() ? nullptr : inputs.targets.data(),
          .rows = policy.rows,
          .vocab_size = shard.vocab_size,
          .shard_begin = shard.begin,
          .first_slice = shard.first_slice,
          .slices = slices,
          .split = split,
          .runs_per_slice = runs_per_slice(shard.vocab_size),
          .rows_per_tile = split.groups > 1 ? 1 : std::max(1, kRunsAtATime / std::max(1, runs))};
}

// Lanes do not multiply, and take both sides as one type; the rest is fp64's.
bool fits_fp32(const LogitsView& policy, const LogitsView& reference) {
  return policy.dtype == reference.dtype && policy.dtype != DType::f64 && policy.scale == 1.0 && reference.scale == 1.0;
}

// @param groups (rows, groups), where rows are split
template <typename Pass>
void launch_fp64(const RowWork& work, const Pass& pass, typename Pass::Partial* out, typename Pass::Partial* groups,
                 cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(work.rows * work.split.groups);
  rows_fp64<<<blocks, kThreadsFp64, 0, stream>>>(work, pass, work.split.groups == 1 ? out : groups);
  check_launch("rows_fp64");
  if (work.split.groups == 1) return;
  join_groups<<<static_cast<unsigned>(work.rows), 32, 0, stream>>>(work, pass, groups, out);
  check_launch("join_groups");
}

template <DType kType>
void launch_fp32_of(const RowWork& work, const CorePass& pass, RowPartial* out, RowPartial* groups, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(work.rows);
  const bool split = work.split.groups > 1;
  const std::int64_t tiles = (work.rows + work.rows_per_tile - 1) / work.rows_per_tile;
  rows_fp32<kType><<<static_cast<unsigned>(tiles * work.split.groups), kThreadsFp32, 0, stream>>>(work, pass, split ? groups : out);
  check_launch("rows_fp32");
  if (split) {
    join_groups<<<rows, 32, 0, stream>>>(work, pass, groups, out);
    check_launch("join_groups");
  }
  resolve_rows<kType><<<std::min(rows, kResolveBlocks), kThreadsFp32, 0, stream>>>(work, pass, out);
  check_launch("resolve_rows");
}

// @param dtype of both sides
void launch_fp32(DType dtype, const RowWork& work, const CorePass& pass, RowPartial* out, RowPartial* groups,
                 cudaStream_t stream) {
  const auto launch = dtype == DType::bf16  ? launch_fp32_of<DType::bf16>
                      : dtype == DType::f16 ? launch_fp32_of<DType::f16>
                                            : launch_fp32_of<DType::f32>;
  launch(work, pass, out, groups, stream);
}

}  // namespace

std::size_t row_partials_workspace_bytes(std::int64_t rows, const VocabShard&, bool extended) {
  // Rows are split while that makes fewer than 2 kEnoughBlocks blocks.
  const auto partials = static_cast<std::size_t>(std::min(rows * kMaxGroups, 2 * kEnoughBlocks));
  return partials * std::max(sizeof(RowPartial), extended ? sizeof(ExtendedPartial) : 0);
}

void row_partials(const LogitsView& policy, const LogitsView& reference, const VocabShard& shard,
                  const RowInputs& inputs, std::span<RowPartial> partials, std::span<ExtendedPartial> extended,
                  double renyi_alpha, std::span<std::byte> workspace, StreamRef stream) {
  if (stream.is_host()) throw InvalidArgument("cuda::row_partials: a device stream is needed");
  if (workspace.size() < row_partials_workspace_bytes(policy.rows, shard, !extended.empty())) {
    throw InvalidArgument("cuda::row_partials: the workspace is too small");
  }
  if (policy.rows == 0) return;
  const RowWork work = row_work(policy, reference, shard, inputs);
  const Scales scales{policy.scale, reference.scale};
  auto* groups = reinterpret_cast<RowPartial*>(workspace.data());
  if (fits_fp32(policy, reference)) {
    launch_fp32(policy.dtype, work, CorePass{scales}, partials.data(), groups, native(stream));
  } else {
    launch_fp64(work, CorePass{scales}, partials.data(), groups, native(stream));
  }
  if (extended.empty()) return;
  launch_fp64(work, ExtendedPass{{scales, renyi_alpha}}, extended.data(),
              reinterpret_cast<ExtendedPartial*>(workspace.data()), native(stream));
}

}  // namespace klmesh::cuda
