#include <algorithm>
#include <bit>

#include "core/cuda/cuda_check.hpp"
#include "core/cuda/kernels.hpp"
#include "core/cuda/lane_launch.hpp"
#include "core/cuda/rows_fp64.cuh"
#include "klmesh/error.hpp"

namespace klmesh::cuda {
namespace {

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
          .log_runs = std::countr_zero(static_cast<unsigned>(runs_per_slice(shard.vocab_size))),
          .rows_per_tile = split.groups > 1 ? 1 : rows_per_tile(policy.rows, std::max(1, runs))};
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

// Beyond these, fp32 constants of a scale overflow, or mean nothing.
bool is_moderate(double scale) { return scale >= 0x1p-10 && scale <= 0x1p10; }

// The lanes that take these logits; null: they are left to fp64.
LaneLaunch* lanes_for(const LogitsView& policy, const LogitsView& reference) {
  if (!is_moderate(policy.scale) || !is_moderate(reference.scale)) return nullptr;
  const Scaling scaling = policy.scale != reference.scale ? Scaling::unequal
                          : policy.scale == 1.0           ? Scaling::none
                                                          : Scaling::equal;
  if (policy.dtype != reference.dtype) return lanes_of_mixed(policy.dtype, reference.dtype, scaling);
  if (policy.dtype == DType::bf16) return lanes_of_bf16(scaling);
  if (policy.dtype == DType::f16) return lanes_of_f16(scaling);
  return policy.dtype == DType::f32 ? lanes_of_f32(scaling) : nullptr;
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
  if (LaneLaunch* const launch = lanes_for(policy, reference)) {
    launch(work, scales, partials.data(), groups, native(stream));
  } else {
    launch_fp64(work, CorePass{scales}, partials.data(), groups, native(stream));
  }
  if (extended.empty()) return;
  launch_fp64(work, ExtendedPass{{scales, renyi_alpha}}, extended.data(),
              reinterpret_cast<ExtendedPartial*>(workspace.data()), native(stream));
}

}  // namespace klmesh::cuda
