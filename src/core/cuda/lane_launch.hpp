// The core pass in fp32, by the forms that lanes come in: one file for each type, as they take long to compile.
#pragma once

#include "core/cuda/lane_form.cuh"
#include "core/cuda/row_tile.cuh"

namespace klmesh::cuda {

/// @param out (rows)
/// @param groups (rows, groups), where rows are split
using LaneLaunch = void(const RowWork& work, const Scales& scales, RowPartial* out, RowPartial* groups, cudaStream_t stream);

LaneLaunch* lanes_of_bf16(Scaling scaling);
LaneLaunch* lanes_of_f16(Scaling scaling);
LaneLaunch* lanes_of_f32(Scaling scaling);
/// Types that differ: f32 on one side. Null: there are no lanes for these.
LaneLaunch* lanes_of_mixed(DType policy, DType reference, Scaling scaling);

}  // namespace klmesh::cuda
